"""Checks of events: idempotency, batches, members, order."""

from __future__ import annotations

import gzip
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from trackerapi_backend.conformance.expectations import Mismatch, expect, expect_all
from trackerapi_backend.conformance.group import Group
from trackerapi_backend.conformance.session import lines_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trackerapi_backend.conformance.session import Session

group = Group("events")


def _events(session: Session, job: Mapping[str, Any]) -> list[dict[str, Any]]:
    page = session.call("list_events", job_id=job["id"], query={"limit": 200})
    return list(page.require(200)["items"])


def _line(job: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    return {"provider_job_id": job["provider_job_id"], **members}


@group.check("members")
def _members(session: Session) -> None:
    """An event is stored with all its members, and metadata keeps its types."""
    job = session.new_job()
    metadata = {"A text": "x", "n": 1, "f": 1.5, "b": True, "none": None, "l": [1, {}]}
    sent = {
        "event_id": str(uuid4()),
        "kind": "progress",
        "tag": "load",
        "event_metadata": metadata,
        "completed": 2,
        "total": 8,
        "part": "one",
        "failed": 1,
        "message": "For the customer",
        "detail": "For the provider",
    }
    event = session.report(job, **sent, occurred_at="2020-02-03T04:05:06.25Z")
    expect_all("the event", sent | {"sequence": 1}, event)
    expect("id of the event", event["event_id"], event["id"])
    occurred_at = datetime.fromisoformat(event["occurred_at"])
    expected = datetime.fromisoformat("2020-02-03T04:05:06.25Z")
    expect("occurred_at", expected, occurred_at)
    expect("events of the job", [event], _events(session, job))


@group.check("name-for-tag")
def _name_for_tag(session: Session) -> None:
    """`name` is an alias of `tag`; an event with two different values gets 422."""
    job = session.new_job()
    event = session.report(job, kind="start", name="load")
    expect("tag of the event", "load", event["tag"])
    both = _line(job, kind="start", name="load", tag="store")
    session.call("create_event", both).require(422)


@group.check("display-name-for-tag")
def _display_name_for_tag(session: Session) -> None:
    """An event may name a step by its display name in place of the tag."""
    job = session.new_job()
    session.report(job, kind="step", tag="Store")
    expect("percent", 75, session.job_now(job)["percent"])


@group.check("own-kind")
def _own_kind(session: Session) -> None:
    """A kind that the contract does not name is stored and changes no status."""
    job = session.new_job()
    event = session.report(job, kind="lunch break")
    expect("kind", "lunch break", event["kind"])
    expect_all("the job", {"status": "pending", "event_count": 1}, session.job_now(job))


@group.check("made-id")
def _made_id(session: Session) -> None:
    """Events without an id get different ids, and each of them counts."""
    job = session.new_job()
    ids = {session.report(job, kind="info")["event_id"] for _ in range(2)}
    expect("number of ids", 2, len(ids))
    expect("event_count", 2, session.job_now(job)["event_count"])


@group.check("repeated-id")
def _repeated_id(session: Session) -> None:
    """A repeated event id is answered with the stored event and changes nothing."""
    job, sent = session.new_job(), {"event_id": str(uuid4()), "tag": "load"}
    first = session.report(job, **sent, kind="step")
    before = session.job_now(job)
    expect("repeated event", first, session.report(job, **sent, kind="step"))
    expect("job", before, session.job_now(job))


@group.check("repeated-id-with-other-content")
def _repeated_id_other_content(session: Session) -> None:
    """A repeated event id with other content is answered with the first event."""
    job, event_id = session.new_job(), str(uuid4())
    first = session.report(job, event_id=event_id, kind="step", tag="load")
    other = {"event_id": event_id, "kind": "error", "message": "Other"}
    before = session.job_now(job)
    expect("repeated event", first, session.report(job, **other))
    report = session.report_batch([_line(job, **other)])
    expect("report", {"accepted": 0, "duplicates": 1, "rejected": []}, _counts(report))
    expect("job", before, session.job_now(job))


@group.check("repeated-id-in-batch")
def _repeated_id_in_batch(session: Session) -> None:
    """A batch counts repeats of its own events and of earlier events."""
    job, ids = session.new_job(), [str(uuid4()) for _ in range(3)]
    session.report(job, event_id=ids[0], kind="info")
    lines = [_line(job, event_id=id_, kind="info") for id_ in (*ids, ids[1])]
    report = session.report_batch(lines)
    expect("report", {"accepted": 2, "duplicates": 2, "rejected": []}, _counts(report))
    report = session.report_batch(lines)
    expect("second", {"accepted": 0, "duplicates": 4, "rejected": []}, _counts(report))
    expect("event_count", 3, session.job_now(job)["event_count"])


@group.check("same-id-of-two-jobs")
def _same_id_of_two_jobs(session: Session) -> None:
    """An event id is unique within its job: another job may use it."""
    event_id = str(uuid4())
    for job in (session.new_job(), session.new_job()):
        session.report(job, event_id=event_id, kind="start")
        expect("event_count", 1, session.job_now(job)["event_count"])


@group.check("bad-lines")
def _bad_lines(session: Session) -> None:
    """A bad line of a batch is reported, and the other lines are stored."""
    job = session.new_job()
    event_id = str(uuid4())
    unknown = {"provider_job_id": session.new_name(), "kind": "info"}
    lines: list[object] = [
        _line(job, kind="info"),
        b"{not JSON",
        _line(job, kind="", event_id=event_id),
        unknown,
        _line(job, kind="info"),
    ]
    report = session.report_batch(lines)
    expect("accepted", 2, report["accepted"])
    rejected = {each["line"]: each for each in report["rejected"]}
    expect("rejected lines", [2, 3, 4], list(rejected))
    expect("event_id of line 3", event_id, rejected[3]["event_id"])
    expect("status of line 4", 404, rejected[4]["problem"]["status"])
    expect("event_count", 2, session.job_now(job)["event_count"])


@group.check("gzip")
def _gzip(session: Session) -> None:
    """A batch may be compressed with gzip; other encodings are rejected (415)."""
    job = session.new_job()
    body = lines_of([_line(job, kind="info")] * 2)
    sent = gzip.compress(body)
    answer = session.call("import_events", sent, headers={"Content-Encoding": "gzip"})
    expect("accepted", 2, answer.require(200)["accepted"])
    other = {"Content-Encoding": "br"}
    session.call("import_events", sent, headers=other).require(415)


@group.check("order-of-arrival")
def _order_of_arrival(session: Session) -> None:
    """Events are listed in the order of arrival, numbered from 1."""
    job = session.new_job()
    kinds = [f"kind {number}" for number in range(5)]
    session.report(job, kind=kinds[0], occurred_at="2025-01-01T00:00:00Z")
    lines = [
        _line(job, kind=kind, occurred_at="2020-01-01T00:00:00Z") for kind in kinds
    ]
    session.report_batch(lines[1:])
    events = _events(session, job)
    expect("kinds", kinds, [event["kind"] for event in events])
    expect("sequences", [1, 2, 3, 4, 5], [event["sequence"] for event in events])


@group.check("version-grows")
def _version_grows(session: Session) -> None:
    """The version of a job grows with each event; `last_occurred_at` never falls."""
    job = session.new_job()
    versions, latest = [job["version"]], []
    for moment in ("2024-01-01T00:00:00Z", "2023-01-01T00:00:00Z"):
        session.report(job, kind="info", occurred_at=moment)
        now = session.job_now(job)
        versions.append(now["version"])
        latest.append(now["last_occurred_at"])
    if not versions[0] < versions[1] < versions[2]:
        raise Mismatch("versions of the job", "growing numbers", versions)
    expect("last_occurred_at after an older event", latest[0], latest[1])


@group.check("unknown-job")
def _unknown_job(session: Session) -> None:
    """An event of an unknown job is rejected (404)."""
    sent = {"provider_job_id": session.new_name(), "kind": "info"}
    session.call("create_event", sent).require(404)


def _counts(report: Mapping[str, Any]) -> dict[str, Any]:
    return {name: report[name] for name in ("accepted", "duplicates", "rejected")}
