"""Checks of erasure: an erased job is unknown, and its name is rejected afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.conformance.answer_rules import PROBLEM_URN
from trackerapi_backend.conformance.expectations import expect
from trackerapi_backend.conformance.group import Group

if TYPE_CHECKING:
    from trackerapi_backend.conformance.session import Session

group = Group("erasure")

ERASED = f"{PROBLEM_URN}erased"


@group.check("job")
def _job(session: Session) -> None:
    """An erased job is unknown (404), and its token is invalid (401)."""
    job = session.new_job()
    key = session.new_token(job)["token"]
    path = {"job_id": job["id"]}
    erased = session.call("erase_job", **path).require(200)
    expect("erased_jobs", 1, erased["erased_jobs"])
    for operation_id in ("get_job", "list_events", "list_share_links", "erase_job"):
        session.call(operation_id, **path).require(404)
    session.call("verify_api_key", key=key).require(401)


@group.check("name")
def _name(session: Session) -> None:
    """A creation or event for an erased job is rejected (410 `erased`)."""
    sent = session.job_input()
    job = session.call("create_job", sent).require(201)
    session.call("erase_job", job_id=job["id"]).require(200)
    again = session.call("create_job", sent).require(410)
    expect("type of the problem of create_job", ERASED, again["type"])
    event = {"provider_job_id": sent["provider_job_id"], "kind": "info"}
    late = session.call("create_event", event).require(410)
    expect("type of the problem of create_event", ERASED, late["type"])
    report = session.report_batch([event])
    types = [line["problem"]["type"] for line in report["rejected"]]
    expect("types of the rejected lines", [ERASED], types)


@group.check("customer")
def _customer(session: Session) -> None:
    """The erasure of a customer erases its jobs, and no job of another customer."""
    customer_id = session.new_customer()["id"]
    jobs = [session.new_job(customer_id=customer_id) for _ in range(2)]
    other = session.new_job()
    path = {"customer_id": customer_id}
    erased = session.call("erase_customer", **path).require(200)
    expect("erased_jobs", 2, erased["erased_jobs"])
    session.call("get_customer", **path).require(404)
    for job in jobs:
        session.call("get_job", job_id=job["id"]).require(404)
    expect("job of another customer", other, session.job_now(other))
