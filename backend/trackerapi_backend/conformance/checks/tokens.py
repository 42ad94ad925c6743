"""Checks of job tokens: a token is valid for one job and for some operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.conformance.checks.samples import SAMPLES
from trackerapi_backend.conformance.expectations import expect, expect_all
from trackerapi_backend.conformance.group import Group

if TYPE_CHECKING:
    from trackerapi_backend.conformance.session import Session

group = Group("tokens")

OPEN_TO_TOKENS = frozenset(
    {
        "verify_api_key",
        "create_event",
        "import_events",
        "get_job",
        "list_events",
        "list_jobs",
        "create_job",
        "stream_job",
    }
)


@group.check("own-job")
def _own_job(session: Session) -> None:
    """A token reads its job, reports events of the job and attaches to the job."""
    sent = session.job_input()
    job = session.call("create_job", sent).require(201)
    key = session.new_token(job)["token"]
    owner = session.call("verify_api_key", key=key).require(200)
    expected = {"job_id": job["id"], "provider_job_id": job["provider_job_id"]}
    expect_all("the token", expected, owner)
    expect("scopes of the token", {"ingest", "read"}, set(owner["scopes"]))
    event = {"provider_job_id": job["provider_job_id"], "kind": "start"}
    session.call("create_event", event, key=key).require(201)
    attached = session.call("create_job", sent, key=key).require(200)
    expect("job", session.job_now(job), attached)
    read = session.call("get_job", key=key, job_id=job["id"]).require(200)
    expect("job", attached, read)
    session.call("list_events", key=key, job_id=job["id"]).require(200)
    page = session.call("list_jobs", key=key).require(200)
    expect("listed jobs", [job["id"]], [each["id"] for each in page["items"]])


@group.check("other-job")
def _other_job(session: Session) -> None:
    """A token gets the same answer for another job as for an unknown job."""
    key = session.new_token(session.new_job())["token"]
    other = session.new_job()
    session.call("get_job", key=key, job_id=other["id"]).require(404)
    session.call("list_events", key=key, job_id=other["id"]).require(404)
    session.call("stream_job", key=key, job_id=other["id"]).require(404)
    query = {"provider_job_id": other["provider_job_id"]}
    page = session.call("list_jobs", key=key, query=query).require(200)
    expect("listed jobs", [], page["items"])
    event = {"provider_job_id": other["provider_job_id"], "kind": "complete"}
    session.call("create_event", event, key=key).require(404)
    session.call("create_job", session.job_input(), key=key).require(403)
    expect("event_count of the other job", 0, session.job_now(other)["event_count"])


@group.check("other-operations")
def _other_operations(session: Session) -> None:
    """Every operation that is not open to tokens rejects a token (403)."""
    key = session.new_token(session.job)["token"]
    for operation_id, sample_of in SAMPLES.items():
        is_public = not session.described(operation_id)["security"]
        if operation_id not in OPEN_TO_TOKENS and not is_public:
            sample = sample_of(session)
            session.call(operation_id, sample.body, key=key, **sample.path).require(403)


@group.check("scopes")
def _scopes(session: Session) -> None:
    """A token cannot have a scope that the key of its maker lacks."""
    _key_id, maker = session.new_key("ingest")
    token = session.new_token(session.job, key=maker)
    expect("scopes of the token", ["ingest"], token.get("scopes", ["ingest"]))
    key = token["token"]
    session.call("get_job", key=key, job_id=session.job["id"]).require(403)


@group.check("expiry")
def _expiry(session: Session) -> None:
    """A token is rejected (401) once the request to expire it is answered."""
    token = session.new_token(session.job)
    session.call("expire_api_key", key_id=token["key_id"]).require(200)
    session.call("verify_api_key", key=token["token"]).require(401)
