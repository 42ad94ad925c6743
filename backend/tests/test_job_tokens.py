"""Job tokens: access to one job, and no trace of other jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from trackerapi_backend.instants import parse_instant, utc_now
from trackerapi_backend.requests.auth import OPEN_TO_JOB_TOKENS
from trackerapi_backend.requests.contract import operations

from backend.tests.support.service import (
    CUSTOMER,
    OTHER_CUSTOMER,
    TUTORIAL,
    new_job,
    new_name,
    problem_name,
    report,
    send_lines,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from backend.tests.support.service import Service

VERIFY_PATH = "/api-keys/protected"
UNKNOWN_ID = 123
OWN = {"job_id": 1, "customer_id": CUSTOMER, "configuration_id": 1, "key_id": "zzz"}


def create_token(api: httpx.Client, job: dict[str, Any], **sent: Any) -> dict[str, Any]:
    """Create a token for a job; return the body of the response."""
    answer = api.post(f"/jobs/{job['id']}/tokens", json=sent)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.fixture
def token(api: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """Body of the response that created a token for the job."""
    return create_token(api, job)


@pytest.fixture
def token_client(service: Service, token: dict[str, Any]) -> Iterator[httpx.Client]:
    """Client with the token as its key."""
    with service.client(None) as token_client:
        token_client.headers["X-API-Key"] = token["token"]
        yield token_client


@pytest.fixture
def other(api: httpx.Client) -> dict[str, Any]:
    """Another job of the same provider and customer, with an event."""
    other = new_job(api, tag="my_job", configuration=TUTORIAL)
    report(api, other, kind="start", tag="say_hello", message="canary")
    return other


def without_request_id(answer: httpx.Response) -> dict[str, Any]:
    """Return a problem without the request id, which differs in each response."""
    problem_name(answer)
    return dict(answer.json()) | {"request_id": ""}


def test_token_names_its_job(
    token_client: httpx.Client, token: dict[str, Any], job: dict[str, Any]
) -> None:
    """`/api-keys/protected` names the job, scopes and end of a token."""
    owner = token_client.get(VERIFY_PATH).json()
    assert owner["job_id"] == job["id"]
    assert owner["provider_job_id"] == job["provider_job_id"]
    assert owner["provider_job_id"] == token["provider_job_id"]
    assert owner["scopes"] == ["ingest", "read"]
    assert owner["key_id"] == token["key_id"]
    assert owner["expires_at"] == token["expires_at"]


def test_other_keys_name_no_job(api: httpx.Client) -> None:
    """`/api-keys/protected` names no job for a key that is not bound to a job."""
    owner = api.get(VERIFY_PATH).json()
    assert (owner["job_id"], owner["provider_job_id"]) == (None, None)


def test_token_reports_and_reads_its_job(
    token_client: httpx.Client, job: dict[str, Any]
) -> None:
    """A token may report events of its job and read the job and its events."""
    report(token_client, job, kind="step", tag="say_hello")
    line = {"provider_job_id": job["provider_job_id"], "kind": "info"}
    assert send_lines(token_client, [line]).json()["accepted"] == 1
    assert token_client.get(f"/jobs/{job['id']}").json()["percent"] == 28.57
    events = token_client.get(f"/jobs/{job['id']}/events").json()["items"]
    assert [event["kind"] for event in events] == ["step", "info"]


def test_token_attaches_to_its_job(
    token_client: httpx.Client, job: dict[str, Any]
) -> None:
    """A token attaches to its job by tag or name, with and without other members."""
    sent = {"provider_job_id": job["provider_job_id"], "customer_id": CUSTOMER}
    for more in (
        {"tag": "my_job"},
        {"tag": "My Job"},
        {"tag": "my_job", "configuration": TUTORIAL},
        {
            "tag": "my_job",
            "configuration": {**TUTORIAL, "texts": {"de": {}}, "silent_after": 60},
        },
        {"tag": "my_job", "title": "Other", "reference": "Other"},
    ):
        answer = token_client.post("/jobs", json=sent | more)
        assert (answer.status_code, answer.json()) == (200, job)


def test_token_creates_and_registers_nothing(
    api: httpx.Client,
    token_client: httpx.Client,
    job: dict[str, Any],
    other: dict[str, Any],
) -> None:
    """Attaching to any other job gets the same 403, and nothing is stored."""
    own = {
        "provider_job_id": job["provider_job_id"],
        "customer_id": CUSTOMER,
        "tag": "my_job",
    }
    tag = new_name()
    changed = TUTORIAL | {"name": tag}
    answers = [
        token_client.post("/jobs", json=own | more)
        for more in (
            {"provider_job_id": other["provider_job_id"]},
            {"provider_job_id": new_name()},
            {"customer_id": CUSTOMER + 1},
            {"tag": tag},
            {"tag": tag, "configuration": TUTORIAL | {"tag": tag}},
            {"configuration": changed},
        )
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert len({str(without_request_id(answer)) for answer in answers}) == 1
    stored = api.get("/job_configurations", params={"tag": tag}).json()["items"]
    newest = api.get("/job_configurations", params={"tag": "my_job"}).json()["items"]
    assert stored == []
    assert newest[0]["name"] == "My Job"


def test_every_other_operation_rejects_a_token(
    token_client: httpx.Client, job: dict[str, Any]
) -> None:
    """Each operation outside of `OPEN_TO_JOB_TOKENS` rejects a token with 403."""
    closed = [
        operation
        for operation in operations()
        if not operation.is_public and operation.operation_id not in OPEN_TO_JOB_TOKENS
    ]
    for operation in closed:
        ids = OWN | {"job_id": job["id"], "share_link_id": 1}
        answer = token_client.request(operation.method, operation.path.format(**ids))
        refused = (answer.status_code, problem_name(answer))
        assert refused == (403, "forbidden"), operation.operation_id
    assert {"create_job_token", "create_share_link", "expire_api_key"} <= {
        operation.operation_id for operation in closed
    }


@pytest.mark.parametrize("path", ["/jobs/{}", "/jobs/{}/events"])
def test_token_reads_another_job_as_an_unknown_one(
    token_client: httpx.Client, other: dict[str, Any], path: str
) -> None:
    """A token gets the same 404 for another job as for an unknown job."""
    answers = [
        token_client.get(path.format(number)) for number in (other["id"], UNKNOWN_ID)
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert without_request_id(answers[0]) == without_request_id(answers[1])


def test_token_lists_its_job_alone(
    token_client: httpx.Client, job: dict[str, Any], other: dict[str, Any]
) -> None:
    """Lists show a token only its own job, with any filter and cursor."""
    for query in (
        {},
        {"customer_id": CUSTOMER},
        {"tag": "my_job"},
        {"cursor": f"c1{other['id'] + 1:x}"},
    ):
        items = token_client.get("/jobs", params=query).json()["items"]
        assert [item["id"] for item in items] == [job["id"]], query
    named = {"provider_job_id": other["provider_job_id"]}
    assert token_client.get("/jobs", params=named).json()["items"] == []


def test_token_reports_for_another_job_as_for_an_unknown_one(
    api: httpx.Client, token_client: httpx.Client, other: dict[str, Any]
) -> None:
    """An event for another job gets the 404 of an unknown job and changes nothing."""
    before = api.get(f"/jobs/{other['id']}").json()
    names = (other["provider_job_id"], new_name())
    answers = [
        token_client.post("/events", json={"provider_job_id": name, "kind": "complete"})
        for name in names
    ]
    result = [
        str(without_request_id(answer)).replace(name, "")
        for answer, name in zip(answers, names, strict=True)
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert result[0] == result[1]
    assert api.get(f"/jobs/{other['id']}").json() == before


def test_lines_of_another_job_are_rejected_alone(
    api: httpx.Client,
    token_client: httpx.Client,
    job: dict[str, Any],
    other: dict[str, Any],
) -> None:
    """A batch stores the lines of the token's job and rejects lines of other jobs."""
    lines = [
        {"provider_job_id": each["provider_job_id"], "kind": "step", "tag": "say_bye"}
        for each in (other, job, {"provider_job_id": "unheard of"}, other)
    ]
    before = api.get(f"/jobs/{other['id']}").json()
    result = send_lines(token_client, lines).json()
    assert (result["accepted"], result["duplicates"]) == (1, 0)
    assert [line["line"] for line in result["rejected"]] == [1, 3, 4]
    assert {line["problem"]["type"] for line in result["rejected"]} == {
        "urn:trackerapi:problem:unknown-job"
    }
    assert {line["problem"]["status"] for line in result["rejected"]} == {404}
    assert api.get(f"/jobs/{other['id']}").json() == before


def test_same_name_at_another_provider_is_another_job(
    other_api: httpx.Client, token_client: httpx.Client, job: dict[str, Any]
) -> None:
    """A token changes no job of another provider with the same `provider_job_id`."""
    name = job["provider_job_id"]
    theirs = new_job(other_api, provider_job_id=name, customer_id=OTHER_CUSTOMER)
    report(token_client, job, kind="complete")
    assert other_api.get(f"/jobs/{theirs['id']}").json()["status"] == "pending"


@pytest.mark.parametrize("key", ["read", "admin", None])
def test_key_without_the_scope_ingest_creates_no_token(
    service: Service, job: dict[str, Any], key: str | None
) -> None:
    """A key without the scope `ingest` cannot create a token."""
    with service.client(key) as caller:
        answer = caller.post(f"/jobs/{job['id']}/tokens", json={})
    assert answer.status_code == (401 if key is None else 403)


def test_expired_token_is_rejected_at_once(
    api: httpx.Client,
    token_client: httpx.Client,
    token: dict[str, Any],
    job: dict[str, Any],
) -> None:
    """An expired token is rejected in the next request, although it was cached."""
    assert token_client.get(f"/jobs/{job['id']}").status_code == 200
    ended = api.post(f"/api-keys/{token['key_id']}/expire")
    answers = [
        token_client.get(f"/jobs/{job['id']}"),
        token_client.get("/jobs"),
        token_client.post("/events", json={"provider_job_id": "x", "kind": "info"}),
        send_lines(token_client, [b"{}"]),
    ]
    assert ended.json()["job_id"] == job["id"]
    assert {answer.status_code for answer in answers} == {401}
    assert api.get(f"/jobs/{job['id']}").status_code == 200


@pytest.mark.parametrize(
    ("scopes", "of_token"),
    [
        (["ingest"], ["ingest"]),
        (["ingest", "admin"], ["ingest"]),
        (["read", "ingest"], ["ingest", "read"]),
        (["ingest", "read", "admin"], ["ingest", "read"]),
    ],
)
def test_token_may_do_no_more_than_its_maker(
    service: Service,
    api: httpx.Client,
    job: dict[str, Any],
    scopes: list[str],
    of_token: list[str],
) -> None:
    """A token gets only the scopes `ingest` and `read` of the creating key."""
    key = api.post("/api-keys", json={"label": "maker", "scopes": scopes}).json()
    with service.client(None) as maker, service.client(None) as token_client:
        maker.headers["X-API-Key"] = key["api_key"]
        token = create_token(maker, job)
        token_client.headers["X-API-Key"] = token["token"]
        assert (
            token["scopes"]
            == token_client.get(VERIFY_PATH).json()["scopes"]
            == of_token
        )
        read = token_client.get(f"/jobs/{job['id']}").status_code
    assert read == (200 if "read" in of_token else 403)


def test_token_lasts_thirty_days_by_default(token: dict[str, Any]) -> None:
    """A token without `expires_at` expires after 30 days."""
    left = parse_instant(token["expires_at"]) - utc_now()
    assert timedelta(days=29) < left <= timedelta(days=30)


def test_tokens_are_listed_among_the_keys_without_secrets(
    api: httpx.Client, job: dict[str, Any], token: dict[str, Any]
) -> None:
    """The list of keys has the tokens with job and label, but no secret."""
    labelled = create_token(api, job, label="Convert, shard 3")
    answer = api.get("/api-keys", params={"limit": 200})
    listed = {key["key_id"]: key for key in answer.json()["items"]}
    assert listed[token["key_id"]]["job_id"] == job["id"]
    assert listed[token["key_id"]]["label"] == "Job token"
    assert listed[labelled["key_id"]]["label"] == "Convert, shard 3"
    own_key = api.get(VERIFY_PATH).json()["key_id"]
    assert listed[own_key]["job_id"] is None
    assert token["token"].split("_")[2] not in answer.text
