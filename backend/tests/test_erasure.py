"""Erasure of jobs and customers: they are unknown afterwards, and others stay."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from backend.tests.support.pages import new_link
from backend.tests.support.service import (
    CUSTOMER,
    OTHER_CUSTOMER,
    new_job,
    new_name,
    problem_name,
    report,
    send_lines,
)
from backend.tests.support.streams import open_stream

if TYPE_CHECKING:
    import httpx

    from backend.tests.support.service import Service

EVENT = {"kind": "progress", "tag": "load", "completed": 1, "total": 2}


def erase(api: httpx.Client, path: str) -> dict[str, Any]:
    """Erase a job or customer; return the body of the response."""
    answer = api.delete(path)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def new_customer(api: httpx.Client) -> int:
    """Create a customer; return its id."""
    created = api.post("/customers", json={"reference": new_name()})
    assert created.status_code == 201, created.text
    return int(created.json()["id"])


@pytest.fixture
def erased(api: httpx.Client) -> dict[str, Any]:
    """A job with an event, which is erased."""
    job = new_job(api)
    report(api, job, **EVENT)
    assert erase(api, f"/jobs/{job['id']}")["erased_jobs"] == 1
    return job


def test_erased_job_is_unknown(api: httpx.Client) -> None:
    """An erased job and its links get the same responses as unknown jobs and links."""
    job = new_job(api)
    path = f"/jobs/{job['id']}"
    link = new_link(api, job)
    report(api, job, **EVENT)
    answer = erase(api, path)
    assert (answer["erased_jobs"], answer["residue"]) == (1, None)
    for each in (path, f"{path}/events", f"{path}/share-links", f"{path}/stream"):
        assert api.get(each).status_code == 404
    assert api.get(link["url"]).status_code == 404
    revoked = api.post(f"/share-links/{link['share_link']['id']}/revoke")
    assert revoked.status_code == 404
    again = api.delete(path)
    assert (again.status_code, problem_name(again)) == (404, "not-found")
    found = api.get("/jobs", params={"provider_job_id": job["provider_job_id"]})
    assert found.json()["items"] == []
    configuration = api.get(f"/job_configurations/{job['configuration_id']}")
    assert configuration.status_code == 200


def test_name_of_an_erased_job_is_closed(
    api: httpx.Client, erased: dict[str, Any]
) -> None:
    """A creation or event for an erased job gets 410; other lines are accepted."""
    other = new_job(api)
    creation = {
        "provider_job_id": erased["provider_job_id"],
        "customer_id": CUSTOMER,
        "tag": erased["tag"],
    }
    event = {**EVENT, "provider_job_id": erased["provider_job_id"]}
    for answer in (api.post("/jobs", json=creation), api.post("/events", json=event)):
        assert (answer.status_code, problem_name(answer)) == (410, "erased")
    unknown = {**EVENT, "provider_job_id": new_name()}
    batch = send_lines(
        api, [event, {**EVENT, "provider_job_id": other["provider_job_id"]}, unknown]
    ).json()
    assert batch["accepted"] == 1
    statuses = {each["line"]: each["problem"]["status"] for each in batch["rejected"]}
    assert statuses == {1: 410, 3: 404}


def test_erasure_concerns_one_provider(
    api: httpx.Client, other_api: httpx.Client
) -> None:
    """A job of another provider with the same name stays and is reported on."""
    job = new_job(api)
    name = job["provider_job_id"]
    theirs = new_job(other_api, provider_job_id=name, customer_id=OTHER_CUSTOMER)
    assert other_api.delete(f"/jobs/{job['id']}").status_code == 404
    erase(api, f"/jobs/{job['id']}")
    report(other_api, theirs, **EVENT)
    assert other_api.get(f"/jobs/{theirs['id']}").json()["event_count"] == 1


@pytest.mark.parametrize("key", ["ingest", "read"])
def test_erasure_needs_the_scope_admin(
    service: Service, job: dict[str, Any], key: str
) -> None:
    """A key without the scope `admin` can erase nothing."""
    with service.client(key) as caller:
        answers = [
            caller.delete(path) for path in (f"/jobs/{job['id']}", "/customers/142")
        ]
    assert [answer.status_code for answer in answers] == [403, 403]


def test_token_of_an_erased_job_is_invalid(service: Service, api: httpx.Client) -> None:
    """A job token ends with its job, also for a server that has used it before."""
    job = new_job(api)
    token = api.post(f"/jobs/{job['id']}/tokens", json={}).json()
    with service.client(None) as holder:
        holder.headers["X-API-Key"] = token["token"]
        assert holder.get("/api-keys/protected").status_code == 200
        assert holder.delete(f"/jobs/{job['id']}").status_code == 403
        erase(api, f"/jobs/{job['id']}")
        assert holder.get("/api-keys/protected").status_code == 401
    keys = api.get("/api-keys", params={"limit": 200}).json()["items"]
    assert token["key_id"] not in {key["key_id"] for key in keys}


def test_open_stream_ends_with_the_job(api: httpx.Client) -> None:
    """The stream of a job ends when the job is erased."""
    job = new_job(api)
    with open_stream(api, f"/jobs/{job['id']}/stream") as stream:
        assert stream.message().data["id"] == job["id"]
        erase(api, f"/jobs/{job['id']}")
        assert list(stream.messages()) == []


def test_erased_customer_has_no_jobs(api: httpx.Client) -> None:
    """An erasure of a customer erases all its jobs, and no job of another customer."""
    customer, other = new_customer(api), new_job(api)
    jobs = [new_job(api, customer_id=customer) for _ in range(3)]
    report(api, jobs[0], **EVENT)
    assert erase(api, f"/customers/{customer}")["erased_jobs"] == len(jobs)
    assert api.get(f"/customers/{customer}").status_code == 404
    assert api.delete(f"/customers/{customer}").status_code == 404
    assert {api.get(f"/jobs/{job['id']}").status_code for job in jobs} == {404}
    assert api.get(f"/jobs/{other['id']}").status_code == 200
    creation = {"provider_job_id": new_name(), "customer_id": customer, "tag": "t"}
    unknown = api.post("/jobs", json=creation)
    assert (unknown.status_code, problem_name(unknown)) == (404, "unknown-customer")
    creation["provider_job_id"] = jobs[0]["provider_job_id"]
    assert api.post("/jobs", json=creation).status_code == 410
    assert new_customer(api) > customer


def test_large_job_is_erased_beside_reports_on_it(api: httpx.Client) -> None:
    """Reports that arrive during the erasure of a large job are stored or get 410."""
    job = new_job(api)
    name = job["provider_job_id"]
    for _ in range(3):
        lines: list[bytes | dict[str, Any]] = [{**EVENT, "provider_job_id": name}]
        assert send_lines(api, lines * 1000).json()["accepted"] == 1000
    statuses: list[int] = []
    is_erased = threading.Event()

    def report_until_erased() -> None:
        while not is_erased.is_set():
            event = {**EVENT, "provider_job_id": name}
            statuses.append(api.post("/events", json=event).status_code)

    reporters = [threading.Thread(target=report_until_erased) for _ in range(4)]
    for reporter in reporters:
        reporter.start()
    try:
        assert erase(api, f"/jobs/{job['id']}")["erased_jobs"] == 1
    finally:
        is_erased.set()
        for reporter in reporters:
            reporter.join()
    assert set(statuses) <= {201, 410}
    assert api.get(f"/jobs/{job['id']}").status_code == 404


def test_concurrent_erasures_of_a_job_have_one_result(api: httpx.Client) -> None:
    """Each of several requests gets the result of the only erasure, or 404 after it."""
    job = new_job(api)
    answers: list[httpx.Response] = []

    def request() -> None:
        answers.append(api.delete(f"/jobs/{job['id']}"))

    callers = [threading.Thread(target=request) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    done = [answer.json() for answer in answers if answer.status_code == 200]
    assert done
    assert all(each == done[0] for each in done)
    assert {answer.status_code for answer in answers} <= {200, 404}
