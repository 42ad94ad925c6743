"""Odd ids, cursors and texts: no parameter of any operation leads to a 5xx."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from backend.tests.support.service import new_job, new_name, problem_name, report

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx

NUMBERS = ["0", "-1", "1_0", "1e3", "\N{FULLWIDTH DIGIT ONE}", "9" * 5000] + [
    str(2**bits + more) for bits in (53, 63, 64) for more in (-1, 0, 1)
]
CURSORS = ["c1", "c1-1", "c10x1", "c1_1", "c1 1", "c1FF", "c2ff", "c1" + "f" * 5000] + [
    f"c1{2**bits + more:x}" for bits in (53, 63, 64) for more in (-1, 0, 1)
]
TEXTS = [
    "",
    " ",
    "\0",
    "a\0b",
    "\N{RIGHT-TO-LEFT OVERRIDE}abc",
    "\N{HEBREW LETTER ALEF}" * 50,
    "\N{GRINNING FACE}",
    "\uffff",
    "\ufeff",
    "%s '\"\\;--",
    "../..",
]
NOT_UTF8 = ["%FF", "%ED%A0%80", "%C0%80"]
ODD = [*(quote(each, safe="") for each in NUMBERS + CURSORS + TEXTS), *NOT_UTF8]
"""Odd values, encoded for an address."""


def operations(api: httpx.Client) -> Iterator[tuple[str, str, list[Mapping[str, Any]]]]:
    """Yield method, path and parameters of each operation of the contract."""
    contract = api.get("/openapi.json").json()
    shared = contract["components"]["parameters"]
    for path, item in contract["paths"].items():
        for method in item.keys() - {"parameters"}:
            given = [*item.get("parameters", ()), *item[method].get("parameters", ())]
            yield (
                method.upper(),
                path,
                [
                    shared[each["$ref"].rpartition("/")[2]] if "$ref" in each else each
                    for each in given
                ],
            )


def addresses(path: str, parameters: list[Mapping[str, Any]], job_id: int) -> list[str]:
    """Return the addresses of an operation with one odd value each."""
    in_path = [each["name"] for each in parameters if each["in"] == "path"]
    usual = {name: str(job_id) for name in in_path}
    found = [path.format_map({**usual, name: odd}) for name in in_path for odd in ODD]
    found += [
        f"{path.format_map(usual)}?{each['name']}={odd}"
        for each in parameters
        if each["in"] == "query"
        for odd in ODD
    ]
    return found


def test_odd_parameter_is_no_server_error(api: httpx.Client) -> None:
    """Each odd value of each parameter gets an answer below 500."""
    job = new_job(api)
    statuses: Counter[int] = Counter()
    for method, path, parameters in operations(api):
        body = {"json": {}} if method == "POST" else {}
        for address in addresses(path, parameters, job["id"]):
            answer = api.request(method, address, **body)
            assert answer.status_code < 500, (method, address, answer.text)
            statuses[answer.status_code] += 1
    # A wrong address would never reach the parameter.
    assert statuses.keys() >= {200, 404, 422}


def test_cursor_of_another_list_is_accepted(api: httpx.Client) -> None:
    """A cursor of the list of customers gets a page of each list, maybe empty."""
    job = new_job(api)
    for _ in range(2):
        api.post("/customers", json={})
    cursor = api.get("/customers", params={"limit": 1}).json()["next_cursor"]
    lists = ["/jobs", "/api-keys", "/job_configurations", f"/jobs/{job['id']}/events"]
    for path in lists:
        answer = api.get(path, params={"cursor": cursor})
        assert answer.status_code == 200, (path, answer.text)
    cut = api.get("/customers", params={"cursor": cursor[:1]})
    assert (cut.status_code, problem_name(cut)) == (422, "invalid-request")


@pytest.mark.parametrize("text", [each for each in TEXTS if each.strip(" \0")])
def test_text_is_stored_or_rejected(api: httpx.Client, text: str) -> None:
    """A text of an event is stored unchanged, or rejected with 422 for a NUL."""
    job = new_job(api)
    members = {"message": text, "detail": text, "event_metadata": {text: text}}
    if "\0" in text:
        sent = {"provider_job_id": job["provider_job_id"], "kind": "info"}
        for name, value in members.items():
            answer = api.post("/events", json={**sent, name: value})
            assert (answer.status_code, problem_name(answer)) == (
                422,
                "invalid-request",
            )
        return
    report(api, job, kind="info", **members)
    [stored] = api.get(f"/jobs/{job['id']}/events").json()["items"]
    assert {name: stored[name] for name in members} == members


@pytest.mark.parametrize("name", ['{"a,b\\}', "NULL", "%s '\"\\;--", "$1"])
def test_job_with_odd_name_counts_its_events(api: httpx.Client, name: str) -> None:
    """An event changes the job that it names, whatever characters the name contains."""
    jobs = [new_job(api, provider_job_id=f"{name}{new_name()}") for _ in range(2)]
    for job in jobs:
        report(api, job, kind="progress", tag="load", completed=3, total=9)
        shown = api.get(f"/jobs/{job['id']}").json()
        assert (shown["event_count"], shown["status"]) == (1, "running")
