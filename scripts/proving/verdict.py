"""Comparison of a job's record with the backend: lost, doubled and reordered events.

Reads only the answers of the backend and the record of the job.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from scripts.proving.plan import CONFLATED
from scripts.proving.record import Entry, jobs_in
from trackerapi import BackendRejected, TrackerApi
from trackerapi.models import JobEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Faults in the events of some jobs; false without a fault.

    Attributes:
        lost: Recorded events that must arrive and are not at the backend.
        doubled: Events that the backend has more than once, by id or by content.
        unrecorded: Events at the backend whose call never returned.
        misplaced: Events that the backend has in another order than their calls.
    """

    lost: Sequence[str] = ()
    doubled: Sequence[str] = ()
    unrecorded: Sequence[str] = ()
    misplaced: Sequence[str] = ()

    def __bool__(self) -> bool:
        return any(asdict(self).values())

    def __str__(self) -> str:
        wrong = (
            f"{len(events)} {name} ({', '.join(events[:3])} ...)"
            for name, events in asdict(self).items()
            if events
        )
        return "; ".join(wrong) or "0 lost, 0 doubled"


def judge(
    tracker: TrackerApi, record: Iterable[Entry], *, in_order_of_arrival: bool = True
) -> Verdict:
    """Compare the backend's events with the events of calls that returned.

    Args:
        tracker: Tracker for read calls.
        record: Entries of the calls that returned, in the order of the calls.
        in_order_of_arrival: Whether the backend must have received the events of a
            process in the order of their calls. False if a second process delivers,
            or if the backend was restored: both change the order.

    Raises:
        BackendError: If the backend gives no usable answer.
    """
    record = list(record)
    stored = [event for job in jobs_in(record) for event in stored_events(tracker, job)]
    ids = Counter(event.event_id for event in stored)
    contents = Counter(
        f"{event.provider_job_id} {event.kind} {event.event_metadata}"
        for event in stored
        if event.kind not in CONFLATED
    )
    known = {entry.event_id for entry in record}
    # A conflated event is written after its call, maybe after later events.
    single = [entry for entry in record if entry.must_arrive]
    return Verdict(
        lost=[
            _named(entry)
            for entry in record
            if entry.must_arrive and entry.event_id not in ids
        ],
        doubled=[name for name, count in (ids + contents).items() if count > 1],
        unrecorded=[
            f"{event.kind} {event.event_metadata}"
            for event in stored
            if event.event_id not in known
        ],
        misplaced=[
            *_misplaced(record, sorted(stored, key=_place)),
            *(_misplaced(single, stored) if in_order_of_arrival else ()),
        ],
    )


def stored_events(tracker: TrackerApi, provider_job_id: str) -> list[JobEvent]:
    """Return the events of a job in order of arrival; empty for an unknown job.

    A `start` of the job is left out: `create_job()` reports a start in a rerun, and the
    plan has no such call.
    """
    try:
        events = list(tracker.job(provider_job_id).events())
    except BackendRejected:
        return []
    return [each for each in events if each.tag is not None or each.kind != "start"]


def visible_state(tracker: TrackerApi, provider_job_id: str) -> dict[str, Any]:
    """Return status, percent, steps and events of a job, which a fault must not change.

    Left out: times and ids, which differ between runs, and progress and heartbeats,
    which are conflated.
    """
    job = tracker.get_job(provider_job_id)
    events = sorted(stored_events(tracker, provider_job_id), key=_place)
    return {
        "status": job.status,
        "percent": job.percent,
        "steps": [
            (step.tag, step.status, step.fraction, step.completed, step.attempts)
            for step in job.steps
        ],
        "events": [
            (event.kind, event.tag, event.event_metadata, event.message, event.detail)
            for event in events
            if event.kind not in CONFLATED
        ],
    }


def _place(event: JobEvent) -> tuple[Any, str]:
    return event.occurred_at, event.event_id


def _named(entry: Entry) -> str:
    return f"{entry.kind} {entry.number} of {entry.provider_job_id}"


def _misplaced(record: Sequence[Entry], stored: Sequence[JobEvent]) -> list[str]:
    """Return the events that `stored` has in another order than their calls."""
    called: dict[tuple[int, str], list[Entry]] = {}
    for entry in record:
        called.setdefault((entry.process_id, entry.provider_job_id), []).append(entry)
    places = {event.event_id: place for place, event in enumerate(stored)}
    return [
        _named(later)
        for entries in called.values()
        for earlier, later in pairwise(e for e in entries if e.event_id in places)
        if places[earlier.event_id] > places[later.event_id]
    ]
