"""Job tokens: good for one job, and blind for everything else."""

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

WHOSE = "/api-keys/protected"
UNKNOWN_ID = 123
OWN = {"job_id": 1, "customer_id": CUSTOMER, "configuration_id": 1, "key_id": "zzz"}


def make_token(api: httpx.Client, job: dict[str, Any], **sent: Any) -> dict[str, Any]:
    """Make a token for a job; return the whole answer."""
    answer = api.post(f"/jobs/{job['id']}/tokens", json=sent)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.fixture
def made(api: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """A token for the job, as it was answered."""
    return make_token(api, job)


@pytest.fixture
def holder(service: Service, made: dict[str, Any]) -> Iterator[httpx.Client]:
    """A client that has the token and nothing else."""
    with service.client(None) as holder:
        holder.headers["X-API-Key"] = made["token"]
        yield holder


@pytest.fixture
def other(api: httpx.Client) -> dict[str, Any]:
    """Another job of the same provider and customer, with an event."""
    other = new_job(api, tag="my_job", configuration=TUTORIAL)
    report(api, other, kind="start", tag="say_hello", message="canary")
    return other


def without_request_id(answer: httpx.Response) -> dict[str, Any]:
    """Return a problem but for what differs in every answer."""
    problem_name(answer)
    return dict(answer.json()) | {"request_id": ""}


def test_token_says_what_it_is_for(
    holder: httpx.Client, made: dict[str, Any], job: dict[str, Any]
) -> None:
    """Whoever is handed a token learns its job from it."""
    owner = holder.get(WHOSE).json()
    assert owner["job_id"] == job["id"]
    assert owner["provider_job_id"] == job["provider_job_id"]
    assert owner["provider_job_id"] == made["provider_job_id"]
    assert owner["scopes"] == ["ingest", "read"]
    assert owner["key_id"] == made["key_id"]
    assert owner["expires_at"] == made["expires_at"]


def test_other_keys_are_for_no_single_job(api: httpx.Client) -> None:
    """A provider's key says that it is bound to nothing."""
    owner = api.get(WHOSE).json()
    assert (owner["job_id"], owner["provider_job_id"]) == (None, None)


def test_token_reports_and_reads_its_job(
    holder: httpx.Client, job: dict[str, Any]
) -> None:
    """A container with a token does all that a running job needs."""
    report(holder, job, kind="step", tag="say_hello")
    line = {"provider_job_id": job["provider_job_id"], "kind": "info"}
    assert send_lines(holder, [line]).json()["accepted"] == 1
    assert holder.get(f"/jobs/{job['id']}").json()["percent"] == 28.57
    events = holder.get(f"/jobs/{job['id']}/events").json()["items"]
    assert [event["kind"] for event in events] == ["step", "info"]


def test_token_attaches_to_its_job(holder: httpx.Client, job: dict[str, Any]) -> None:
    """A script that creates its job finds it, by tag or name and with its steps."""
    sent = {"provider_job_id": job["provider_job_id"], "customer_id": CUSTOMER}
    for more in (
        {"tag": "my_job"},
        {"tag": "My Job"},
        {"tag": "my_job", "configuration": TUTORIAL},
    ):
        answer = holder.post("/jobs", json=sent | more)
        assert (answer.status_code, answer.json()["id"]) == (200, job["id"])


def test_token_creates_and_registers_nothing(
    api: httpx.Client,
    holder: httpx.Client,
    job: dict[str, Any],
    other: dict[str, Any],
) -> None:
    """All that is not its own job is refused in the same words, known or not."""
    own = {
        "provider_job_id": job["provider_job_id"],
        "customer_id": CUSTOMER,
        "tag": "my_job",
    }
    tag = new_name()
    changed = TUTORIAL | {"name": tag}
    answers = [
        holder.post("/jobs", json=own | more)
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


def test_every_other_operation_refuses_a_token(
    holder: httpx.Client, job: dict[str, Any]
) -> None:
    """An operation is closed to tokens unless it was opened to them by name."""
    closed = [
        operation
        for operation in operations()
        if not operation.is_public and operation.operation_id not in OPEN_TO_JOB_TOKENS
    ]
    for operation in closed:
        ids = OWN | {"job_id": job["id"], "share_link_id": 1}
        answer = holder.request(operation.method, operation.path.format(**ids))
        refused = (answer.status_code, problem_name(answer))
        assert refused == (403, "forbidden"), operation.operation_id
    assert {"create_job_token", "create_share_link", "expire_api_key"} <= {
        operation.operation_id for operation in closed
    }


@pytest.mark.parametrize("path", ["/jobs/{}", "/jobs/{}/events"])
def test_token_reads_another_job_as_an_unknown_one(
    holder: httpx.Client, other: dict[str, Any], path: str
) -> None:
    """A token does not even tell that another job exists."""
    answers = [holder.get(path.format(number)) for number in (other["id"], UNKNOWN_ID)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert without_request_id(answers[0]) == without_request_id(answers[1])


def test_token_lists_its_job_alone(
    holder: httpx.Client, job: dict[str, Any], other: dict[str, Any]
) -> None:
    """No filter and no cursor brings up another job."""
    for query in (
        {},
        {"customer_id": CUSTOMER},
        {"tag": "my_job"},
        {"cursor": f"c1{other['id'] + 1:x}"},
    ):
        items = holder.get("/jobs", params=query).json()["items"]
        assert [item["id"] for item in items] == [job["id"]], query
    named = {"provider_job_id": other["provider_job_id"]}
    assert holder.get("/jobs", params=named).json()["items"] == []


def test_token_reports_for_another_job_as_for_an_unknown_one(
    api: httpx.Client, holder: httpx.Client, other: dict[str, Any]
) -> None:
    """A single event for another job is refused as for none, and changes nothing."""
    before = api.get(f"/jobs/{other['id']}").json()
    names = (other["provider_job_id"], new_name())
    answers = [
        holder.post("/events", json={"provider_job_id": name, "kind": "complete"})
        for name in names
    ]
    told = [
        str(without_request_id(answer)).replace(name, "")
        for answer, name in zip(answers, names, strict=True)
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert told[0] == told[1]
    assert api.get(f"/jobs/{other['id']}").json() == before


def test_lines_of_another_job_are_rejected_singly(
    api: httpx.Client,
    holder: httpx.Client,
    job: dict[str, Any],
    other: dict[str, Any],
) -> None:
    """Lines for its own job are taken beside those that are not for it."""
    lines = [
        {"provider_job_id": each["provider_job_id"], "kind": "step", "tag": "say_bye"}
        for each in (other, job, {"provider_job_id": "unheard of"}, other)
    ]
    before = api.get(f"/jobs/{other['id']}").json()
    told = send_lines(holder, lines).json()
    assert (told["accepted"], told["duplicates"]) == (1, 0)
    assert [line["line"] for line in told["rejected"]] == [1, 3, 4]
    assert {line["problem"]["type"] for line in told["rejected"]} == {
        "urn:trackerapi:problem:unknown-job"
    }
    assert {line["problem"]["status"] for line in told["rejected"]} == {404}
    assert api.get(f"/jobs/{other['id']}").json() == before


def test_same_name_at_another_provider_is_another_job(
    other_api: httpx.Client, holder: httpx.Client, job: dict[str, Any]
) -> None:
    """A token is bound to a job and not to what somebody calls his."""
    name = job["provider_job_id"]
    theirs = new_job(other_api, provider_job_id=name, customer_id=OTHER_CUSTOMER)
    report(holder, job, kind="complete")
    assert other_api.get(f"/jobs/{theirs['id']}").json()["status"] == "pending"


@pytest.mark.parametrize("key", ["read", "admin", None])
def test_token_is_made_with_a_key_that_may_report(
    service: Service, job: dict[str, Any], key: str | None
) -> None:
    """A key that only reads makes nothing that writes."""
    with service.client(key) as caller:
        answer = caller.post(f"/jobs/{job['id']}/tokens", json={})
    assert answer.status_code == (401 if key is None else 403)


def test_token_ends_with_the_answer_that_says_so(
    api: httpx.Client, holder: httpx.Client, made: dict[str, Any], job: dict[str, Any]
) -> None:
    """A token that was used a moment ago opens nothing once it is ended."""
    assert holder.get(f"/jobs/{job['id']}").status_code == 200
    ended = api.post(f"/api-keys/{made['key_id']}/expire")
    answers = [
        holder.get(f"/jobs/{job['id']}"),
        holder.get("/jobs"),
        holder.post("/events", json={"provider_job_id": "x", "kind": "info"}),
        send_lines(holder, [b"{}"]),
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
    """A token has those of the two scopes that its maker has, and names them."""
    key = api.post("/api-keys", json={"label": "maker", "scopes": scopes}).json()
    with service.client(None) as maker, service.client(None) as holder:
        maker.headers["X-API-Key"] = key["api_key"]
        made = make_token(maker, job)
        holder.headers["X-API-Key"] = made["token"]
        assert made["scopes"] == holder.get(WHOSE).json()["scopes"] == of_token
        read = holder.get(f"/jobs/{job['id']}").status_code
    assert read == (200 if "read" in of_token else 403)


def test_token_lasts_thirty_days_unless_told(made: dict[str, Any]) -> None:
    """A credential that travels in environments does not last for ever."""
    left = parse_instant(made["expires_at"]) - utc_now()
    assert timedelta(days=29) < left <= timedelta(days=30)


def test_tokens_are_listed_among_the_keys_without_secrets(
    api: httpx.Client, job: dict[str, Any], made: dict[str, Any]
) -> None:
    """A provider sees which keys are bound to which job, and ends them by their id."""
    labelled = make_token(api, job, label="Convert, shard 3")
    answer = api.get("/api-keys", params={"limit": 200})
    listed = {key["key_id"]: key for key in answer.json()["items"]}
    assert listed[made["key_id"]]["job_id"] == job["id"]
    assert listed[made["key_id"]]["label"] == "Job token"
    assert listed[labelled["key_id"]]["label"] == "Convert, shard 3"
    own_key = api.get(WHOSE).json()["key_id"]
    assert listed[own_key]["job_id"] is None
    assert made["token"].split("_")[2] not in answer.text
