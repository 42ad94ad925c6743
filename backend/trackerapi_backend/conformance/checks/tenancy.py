"""Checks of tenancy: objects of one provider are unknown to another provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.conformance.checks.samples import SAMPLES, UNKNOWN_IDS
from trackerapi_backend.conformance.expectations import Mismatch, Skipped, expect
from trackerapi_backend.conformance.group import Group

if TYPE_CHECKING:
    from trackerapi_backend.conformance.exchange import Answer
    from trackerapi_backend.conformance.session import Session

group = Group("tenancy")


def _other_key(session: Session) -> str:
    if session.other_key is None:
        raise Skipped("needs --other-api-key-file, the key of another provider")
    return session.other_key


@group.check("foreign-object")
def _foreign_object(session: Session) -> None:
    """Every operation answers for a foreign object as for an unknown object."""
    key = _other_key(session)
    for operation_id, sample_of in SAMPLES.items():
        sample = sample_of(session)
        if not sample.path:
            continue
        unknown_path = {name: UNKNOWN_IDS[name] for name in sample.path}
        foreign, unknown = (
            session.call(operation_id, sample.body, key=key, **path)
            for path in (sample.path, unknown_path)
        )
        foreign.require(404)
        unknown.require(404)
        expect(
            f"problem of {foreign.request}",
            _visible_parts(unknown),
            _visible_parts(foreign),
        )


def _visible_parts(answer: Answer) -> dict[str, object]:
    problem = answer.json()
    return {name: problem[name] for name in problem if name != "request_id"}


@group.check("foreign-customer")
def _foreign_customer(session: Session) -> None:
    """A job for a foreign customer is rejected (404), like for an unknown customer."""
    key = _other_key(session)
    sent = session.job_input()
    session.call("create_job", sent, key=key).require(404)


@group.check("foreign-event")
def _foreign_event(session: Session) -> None:
    """An event of a foreign job is rejected (404), and changes nothing of the job."""
    key = _other_key(session)
    job = session.new_job()
    event = {"provider_job_id": job["provider_job_id"], "kind": "complete"}
    session.call("create_event", event, key=key).require(404)
    expect("event_count of the job", 0, session.job_now(job)["event_count"])


@group.check("foreign-lists")
def _foreign_lists(session: Session) -> None:
    """Lists filtered by a foreign job, customer or configuration are empty."""
    key = _other_key(session)
    job = session.new_job()
    customer = session.new_customer()
    queries: tuple[tuple[str, dict[str, object]], ...] = (
        ("list_jobs", {"provider_job_id": job["provider_job_id"]}),
        ("list_jobs", {"customer_id": job["customer_id"]}),
        ("list_customers", {"reference": customer["reference"]}),
        ("list_job_configurations", {"tag": job["tag"]}),
    )
    for operation_id, query in queries:
        page = session.call(operation_id, query=query, key=key).require(200)
        expect(f"items of {operation_id}", [], page["items"])


@group.check("same-name")
def _same_name(session: Session) -> None:
    """Jobs of two providers may have the same `provider_job_id`."""
    key = _other_key(session)
    reference = session.new_name()
    sent = {"reference": reference, "name": f"Conformance kit, run {session.run}"}
    customer = session.call("create_customer", sent, key=key).require(201)
    body = session.job_input()
    own = session.call("create_job", body).require(201)
    foreign_body = body | {"customer_id": customer["id"]}
    foreign = session.call("create_job", foreign_body, key=key).require(201)
    if own["id"] == foreign["id"]:
        raise Mismatch("ids of the jobs", "two ids", own["id"])
    session.report(own, kind="complete")
    read = session.call("get_job", key=key, job_id=foreign["id"]).require(200)
    expect("event_count of the foreign job", 0, read["event_count"])
