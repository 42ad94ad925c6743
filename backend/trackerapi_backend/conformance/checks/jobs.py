"""Checks of jobs: creation, repeated creation, conflicts, filters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from trackerapi_backend.conformance.expectations import Mismatch, expect, expect_all
from trackerapi_backend.conformance.group import Group

if TYPE_CHECKING:
    from trackerapi_backend.conformance.session import Session

group = Group("jobs")


@group.check("create")
def _create(session: Session) -> None:
    """A new job has the sent members, 0 percent, and pending steps."""
    sent = session.job_input(
        title="Import", reference="R-1", finish="explicit", metadata={"Host": "node 7"}
    )
    job = session.call("create_job", sent).require(201)
    expected = {name: sent[name] for name in sent if name != "configuration"}
    counted = {"status": "pending", "percent": 0, "event_count": 0, "version": 0}
    expect_all("the job", expected | {"name": "Import"}, job)
    expect_all("the job", {**counted, "version": job["version"]}, job)
    steps = [(step["tag"], step["status"], step["points"]) for step in job["steps"]]
    expect("steps", [("load", "pending", 1), ("store", "pending", 3)], steps)
    expect("job read by its id", job, session.job_now(job))


@group.check("repeat")
def _repeat(session: Session) -> None:
    """A repeated creation is answered with 200 and the unchanged job."""
    sent = session.job_input(title="First")
    job = session.call("create_job", sent).require(201)
    again = session.call("create_job", sent | {"title": "Second"}).require(200)
    expect("job", job, again)
    report = session.report(job, kind="start", tag="load")
    expect(
        "provider_job_id of the event",
        sent["provider_job_id"],
        report["provider_job_id"],
    )
    after = session.call("create_job", sent).require(200)
    expect("job after an event", session.job_now(job), after)


@group.check("conflict")
def _conflict(session: Session) -> None:
    """Another customer or tag for an existing job is rejected (409)."""
    sent = session.job_input()
    session.call("create_job", sent).require(201)
    other_customer = sent | {"customer_id": session.new_customer()["id"]}
    session.call("create_job", other_customer).require(409)
    other_tag = {name: sent[name] for name in sent if name != "configuration"}
    session.call("create_job", other_tag | {"tag": session.new_name()}).require(409)


@group.check("unknown-customer")
def _unknown_customer(session: Session) -> None:
    """A job for an unknown customer is rejected (404)."""
    sent = session.job_input(customer_id=9007199254740991)
    session.call("create_job", sent).require(404)


@group.check("without-configuration")
def _without_configuration(session: Session) -> None:
    """A job without a configuration has no percent, and its tag as its name."""
    sent = session.job_input(tag=session.new_name())
    del sent["configuration"]
    job = session.call("create_job", sent).require(201)
    expected = {"percent": None, "configuration_id": None, "name": sent["tag"]}
    expect_all("the job", expected | {"steps": []}, job)


@group.check("name-of-configuration")
def _name_of_configuration(session: Session) -> None:
    """A job selects its configuration by tag or display name."""
    name = session.new_name()
    job = session.new_job()
    steps = [{"tag": "a", "name": "A", "points": 1}]
    document = {"tag": f"{name}-tag", "name": name, "step_configurations": steps}
    stored = session.call("register_job_configuration", document).require(201)
    sent = session.job_input(tag=name, customer_id=job["customer_id"])
    del sent["configuration"]
    by_name = session.call("create_job", sent).require(201)
    expect_all("the job", {"configuration_id": stored["id"]}, by_name)


@group.check("time-ordered-ids")
def _time_ordered_ids(session: Session) -> None:
    """Later jobs have larger ids."""
    ids = [session.new_job()["id"] for _ in range(3)]
    expect("ids in the order of creation", sorted(ids), ids)


@group.check("created-at")
def _created_at(session: Session) -> None:
    """A past `created_at` is kept; a time over a year ahead is replaced."""
    past = session.new_job(created_at="2020-02-03T04:05:06Z")
    expect("created_at", datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC), _time(past))
    ahead = datetime.now(UTC) + timedelta(days=800)
    future = session.new_job(created_at=ahead.isoformat())
    if _time(future) > ahead - timedelta(days=400):
        raise Mismatch("created_at", "the time of the request", future["created_at"])


def _time(job: dict[str, str]) -> datetime:
    return datetime.fromisoformat(job["created_at"])


@group.check("filters")
def _filters(session: Session) -> None:
    """Each filter of the list of jobs selects the jobs with the value of the filter."""
    tag = session.new_name()
    customer_id = session.new_customer()["id"]
    configuration = {"tag": tag, "name": tag, "step_configurations": _ONE_STEP}
    one, two = (
        session.new_job(tag=tag, configuration=configuration, customer_id=customer_id)
        for _ in range(2)
    )
    session.report(two, kind="start")
    for query, expected in (
        ({"provider_job_id": one["provider_job_id"]}, [one]),
        ({"customer_id": customer_id}, [two, one]),
        ({"tag": tag}, [two, one]),
        ({"tag": tag, "status": "running"}, [two]),
        ({"tag": tag, "status": ["running", "pending"]}, [two, one]),
        ({"tag": tag, "created_since": two["created_at"]}, [two]),
        ({"tag": tag, "created_since": "2999-01-01T00:00:00Z"}, []),
    ):
        page = session.call("list_jobs", query=query).require(200)
        got = [job["id"] for job in page["items"]]
        if query.get("created_since") == two["created_at"]:
            # Both jobs may have been created within the resolution of the clock.
            got = [each for each in got if each != one["id"]]
        expect(f"jobs of {query}", [job["id"] for job in expected], got)


_ONE_STEP = [{"tag": "a", "name": "A", "points": 1}]
