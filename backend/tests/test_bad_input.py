"""Invalid requests: each fault has its own status and problem, and none gets a 500."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest

from backend.tests.support.service import (
    CUSTOMER,
    new_job,
    new_name,
    problem_name,
    send_lines,
)

if TYPE_CHECKING:
    import httpx

    from backend.tests.support.service import Service

JSON = {"Content-Type": "application/json"}
MEBIBYTE = 1024 * 1024


@pytest.mark.parametrize(
    ("body", "status", "name"),
    [
        (b"", 400, "malformed-request"),
        (b"{", 400, "malformed-request"),
        (b"{} {}", 400, "malformed-request"),
        (b'{"kind": NaN}', 400, "malformed-request"),
        (b'{"total": 1e999}', 400, "malformed-request"),
        (b'{"total": ' + b"9" * 5000 + b"}", 400, "malformed-request"),
        (b'{"kind": "\xff"}', 400, "malformed-request"),
        (b"[" * 200_000, 400, "malformed-request"),
        (b"[]", 422, "invalid-request"),
        (b"null", 422, "invalid-request"),
        (b'"text"', 422, "invalid-request"),
        (b"{}", 422, "invalid-request"),
        (b"x" * (MEBIBYTE + 1), 413, "too-large"),
    ],
)
@pytest.mark.parametrize("path", ["/events", "/jobs", "/job_configurations"])
def test_invalid_body_is_rejected(
    api: httpx.Client, path: str, body: bytes, status: int, name: str
) -> None:
    """A body that is not JSON gets 400, a non-object 422, a too large body 413."""
    answer = api.post(path, content=body, headers=JSON)
    assert (answer.status_code, problem_name(answer)) == (status, name)


@pytest.mark.parametrize(
    ("member", "value", "pointer"),
    [
        ("provider_job_id", "a\x00b", "/provider_job_id"),
        ("provider_job_id", "a\u2028b", "/provider_job_id"),
        ("provider_job_id", " \u3000 ", "/provider_job_id"),
        ("provider_job_id", "x" * 201, "/provider_job_id"),
        ("provider_job_id", 7, "/provider_job_id"),
        ("customer_id", 2**53, "/customer_id"),
        ("customer_id", 0, "/customer_id"),
        ("customer_id", 1.5, "/customer_id"),
        ("customer_id", "142", "/customer_id"),
        ("customer_id", True, "/customer_id"),
        ("tag", "", "/tag"),
        ("created_at", "yesterday", "/created_at"),
        ("created_at", "9999-12-31T23:59:59-10:00", "/created_at"),
        ("finish", "maybe", "/finish"),
        ("metadata", [], "/metadata"),
        ("metadata", {str(n): n for n in range(51)}, "/metadata"),
        ("metadata", {"key": "x" * 8192}, "/metadata"),
        ("metadata", {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}, "/metadata"),
        ("metadata", {"key": 2**53}, "/metadata"),
        ("unheard_of", 1, "/unheard_of"),
    ],
)
def test_invalid_member_is_named_by_its_pointer(
    api: httpx.Client, member: str, value: Any, pointer: str
) -> None:
    """The error of an invalid member contains the JSON Pointer of the member."""
    sent = {"provider_job_id": new_name(), "customer_id": CUSTOMER, "tag": "t"}
    answer = api.post("/jobs", json=sent | {member: value})
    assert (answer.status_code, problem_name(answer)) == (422, "invalid-request")
    pointers = [error["pointer"] for error in answer.json()["errors"]]
    assert any(place.startswith(pointer) for place in pointers), pointers


def test_half_a_surrogate_pair_is_rejected(api: httpx.Client) -> None:
    """A text that UTF-8 cannot represent is rejected with 422."""
    body = b'{"provider_job_id": "\\ud800", "customer_id": 142, "tag": "t"}'
    answer = api.post("/jobs", content=body, headers=JSON)
    assert (answer.status_code, problem_name(answer)) == (422, "invalid-request")


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "ten"},
        {"cursor": "yesterday"},
        {"status": "done"},
        {"customer_id": "9" * 30},
        {"created_since": "0001-01-01T00:00:00+10:00"},
        {"tag": ""},
    ],
)
def test_invalid_parameter_is_named(api: httpx.Client, query: dict[str, str]) -> None:
    """The error of an invalid parameter contains the name of the parameter."""
    answer = api.get("/jobs", params=query)
    assert (answer.status_code, problem_name(answer)) == (422, "invalid-request")
    assert answer.json()["errors"][0]["pointer"] in query


@pytest.mark.parametrize("job_id", ["0", "-1", "1.5", "abc", "9" * 40, "%00", "1e3"])
def test_invalid_id_is_rejected(api: httpx.Client, job_id: str) -> None:
    """An id in a path is rejected unless it is a whole number from 1 to 2^53-1."""
    answer = api.get(f"/jobs/{job_id}")
    assert (answer.status_code, problem_name(answer)) == (422, "invalid-request")


def test_other_media_type_and_encoding_are_rejected(api: httpx.Client) -> None:
    """A form gets status 415, and so does a body that is compressed without gzip."""
    as_form = api.post("/jobs", data={"tag": "t"})
    packed = send_lines(api, [b"{}"], **{"Content-Encoding": "br"})
    assert problem_name(as_form) == problem_name(packed) == "unsupported-media-type"
    assert as_form.status_code == packed.status_code == 415


@pytest.mark.parametrize(
    ("packed", "status"),
    [
        (gzip.compress(bytes(200 * MEBIBYTE)), 413),
        (gzip.compress(b"{}", mtime=0)[:-4], 400),
        (gzip.compress(b"{}", mtime=0) + b"more", 400),
        (b"no gzip", 400),
    ],
)
def test_large_or_broken_gzip_is_rejected(
    api: httpx.Client, packed: bytes, status: int
) -> None:
    """The size limit counts decompressed bytes, and broken gzip is rejected."""
    answer = send_lines(api, [packed], **{"Content-Encoding": "gzip"})
    assert answer.status_code == status
    problem_name(answer)


def test_chunked_body_is_limited(api: httpx.Client) -> None:
    """A chunked body without a Content-Length is rejected above the size limit."""
    chunks = (b" " * MEBIBYTE for _ in range(3))
    answer = api.post("/jobs", content=chunks, headers=JSON)
    assert (answer.status_code, problem_name(answer)) == (413, "too-large")


def test_invalid_line_does_not_affect_other_lines(api: httpx.Client) -> None:
    """A batch stores its valid lines and reports its invalid lines."""
    job = new_job(api)
    good = {"provider_job_id": job["provider_job_id"], "kind": "info"}
    event_id = "019ab4c2-7a10-7c3e-9d55-0f6a3b1c2d3e"
    lines = [
        good,
        b"{",
        b"",
        {**good, "event_id": event_id, "kind": 7},
        {**good, "provider_job_id": "nobody-knows-it"},
        b'{"kind": "\\ud800"}',
        {**good, "tag": "load", "name": "store"},
        b"[" * 20_000,
        good,
    ]
    answer = send_lines(api, lines)
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert (report["accepted"], report["duplicates"]) == (2, 0)
    refused = {each["line"]: each for each in report["rejected"]}
    assert sorted(refused) == [2, 4, 5, 6, 7, 8]
    assert refused[4]["event_id"] == event_id
    assert refused[5]["problem"]["type"] == "urn:trackerapi:problem:unknown-job"
    assert api.get(f"/jobs/{job['id']}").json()["event_count"] == 2


def test_wrong_method_is_answered_with_the_allowed_methods(
    service: Service, api: httpx.Client
) -> None:
    """The header `Allow` of a 405 lists the methods of the path, without HEAD."""
    paths = api.get("/openapi.json").json()["paths"]
    for path, methods in paths.items():
        address = path.replace("{", "").replace("}", "")
        answer = api.request("PUT", address)
        allowed = set(answer.headers["allow"].split(", "))
        assert problem_name(answer) == "method-not-allowed"
        assert allowed - {"HEAD"} == {method.upper() for method in methods}


def test_unknown_path_is_answered_as_a_problem(service: Service) -> None:
    """An unknown path gets status 404 with a problem."""
    with service.client(None) as anyone:
        answer = anyone.get("/nothing/here")
    assert (answer.status_code, problem_name(answer)) == (404, "not-found")


@pytest.mark.parametrize(
    "path",
    [
        "/jobs?tag=%00",
        "/jobs?provider_job_id=a%00",
        "/jobs?status=%00",
        "/customers?reference=%00",
        "/job_configurations?tag=%00",
        "/job_configurations?version=1%00",
    ],
)
def test_nul_in_a_parameter_is_invalid(api: httpx.Client, path: str) -> None:
    """A text with NUL gets 422 on each engine: PostgreSQL could not compare it."""
    assert api.get(path).status_code == 422
