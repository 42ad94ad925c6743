"""Recording of events: each new event becomes a row and updates the state of its job.

An event with a stored `event_id` changes nothing: the stored event counts, even if the
repeated event has other content.
"""

from __future__ import annotations

from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy.exc import IntegrityError

from trackerapi_backend.jobs.configurations import StepNames, points_of
from trackerapi_backend.jobs.customer_view import update_customer_views
from trackerapi_backend.jobs.states import format_state, parse_state
from trackerapi_backend.projection.job import Plan, advance, project
from trackerapi_backend.projection.kinds import PROGRESS
from trackerapi_backend.projection.step import StepState, key_of
from trackerapi_backend.store import events as stored_events
from trackerapi_backend.store import jobs as stored_jobs
from trackerapi_backend.store.documents import compute_once
from trackerapi_backend.store.driver_sql import savepoint
from trackerapi_backend.store.events import StoredEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection, Row

    from trackerapi_backend.jobs.new_event import NewEvent
    from trackerapi_backend.projection.job import JobState
    from trackerapi_backend.projection.step import Key
    from trackerapi_backend.store.jobs import ReportedJob

_job_name_of = attrgetter("provider_job_id")

MAX_PARTS = 1000
"""Maximum number of parts that count towards one step: the state stores each part."""


class Refusal(StrEnum):
    """Reason why an event was not stored."""

    DUPLICATE = "duplicate"
    UNKNOWN_JOB = "unknown job"
    ERASED = "erased"
    TOO_MANY_PARTS = "too many parts"


Recorded = StoredEvent | Refusal
"""Outcome of recording one event."""


class Report(msgspec.Struct, frozen=True):
    """Events of one request.

    Attributes:
        provider_id: Provider of the jobs.
        events: Events of any jobs.
        only_job_id: Only job that the caller may report on; None for all jobs.
    """

    provider_id: int
    events: Sequence[NewEvent]
    only_job_id: int | None = None

    @property
    def job_names(self) -> set[str]:
        """`provider_job_id` of each job."""
        return {*map(_job_name_of, self.events)}

    def split(self, max_events: int) -> list[Report]:
        """Return smaller reports with the events of this report, in their order.

        Several reports are recorded in several transactions. If a later transaction
        fails, the caller sends all events again. Only ids from the caller then show
        which events are stored. So a report is split only if all events have such ids.
        """
        events = self.events
        if len(events) <= max_events or any(e.sent_event_id is None for e in events):
            return [self]
        return [
            msgspec.structs.replace(self, events=events[first : first + max_events])
            for first in range(0, len(events), max_events)
        ]


def record_reports(db: Connection, reports: Sequence[Report]) -> list[list[Recorded]]:
    """Store the new events of several requests and update the states of their jobs.

    Args:
        db: Connection in a transaction.
        reports: Events of the requests.

    Returns:
        For each report, the outcome of each event, in the order of its events.
    """
    try:
        # Most events are new. So treat all events as new, until the engine rejects an
        # event.
        with savepoint(db, "reports"):
            return _record(db, reports, may_be_stored=False)
    except IntegrityError:
        return _record(db, reports, may_be_stored=True)


def _record(
    db: Connection, reports: Sequence[Report], *, may_be_stored: bool
) -> list[list[Recorded]]:
    """Store the new events of reports.

    Args:
        db: Connection in a transaction.
        reports: Events of the requests.
        may_be_stored: Whether to look for each event among the stored events.

    Raises:
        IntegrityError: If an event is stored already, and `may_be_stored` is false.
    """
    jobs = _find_jobs(db, reports)
    if may_be_stored:
        _find_stored_ids(db, jobs, reports)
    outcomes = [_add(jobs, report) for report in reports]
    changed = [job for job in jobs.values() if job.fresh]
    stored_events.add_events(db, [event for job in changed for event in job.fresh])
    update_customer_views(db, [(job.row.document, job.fresh) for job in changed])
    states = [(job.row, _advance_state(db, job)) for job in changed]
    stored_jobs.save_states(
        db, [(row, state.status, format_state(state)) for row, state in states]
    )
    return outcomes


class _Job:
    """Job with the events of a group of requests.

    Args:
        row: Job as it is stored.

    Attributes:
        plan: Plan of the job.
        is_current: Whether the new events may be folded onto the stored state.
        known: Ids of the events that are stored or in `fresh`.
        fresh: New events, in order of arrival.
    """

    def __init__(self, row: ReportedJob) -> None:
        self.row, self.plan = row, plan_of(row)
        self.state, self.is_current = parse_state(row.state)
        self.known: set[bytes] = set()
        self.fresh: list[StoredEvent] = []
        self._names = compute_once(row.document, StepNames)
        self._new_parts: dict[str, set[str]] = {}

    def add(self, event: NewEvent) -> Recorded:
        """Add an event to `fresh` if it is new; return its outcome."""
        if event.event_id in self.known:
            return Refusal.DUPLICATE
        event.tag = self._names.find_tag(event.tag)
        if event.part is not None and not self._has_room_for(event, event.part):
            return Refusal.TOO_MANY_PARTS
        self.known.add(event.event_id)
        event.job_id = self.row.id
        self.fresh.append(event)
        # The sequence number is unique: the transaction that has read the state is the
        # only one that changes the job.
        event.sequence = self.state.event_count + len(self.fresh)
        return event

    def _has_room_for(self, event: NewEvent, part: str) -> bool:
        """Return whether the step can count the part of an event.

        A step counts at most `MAX_PARTS` parts. The result is also True if the event
        adds no part: without a count, or with a time after the end of the step.
        """
        tag = event.tag
        has_count = event.completed is not None or event.failed is not None
        if event.kind != PROGRESS.name or not has_count:
            return True
        if tag is None or tag not in (self.plan.points or ()):
            return True
        step = self.state.steps.get(tag, StepState())
        new = self._new_parts.setdefault(tag, set())
        is_known = part in step.counts or part in step.failed_counts or part in new
        if is_known or step.has_ended_before(key_of(event)):
            return True
        if len(new) + len(step.parts) >= MAX_PARTS:
            return False
        new.add(part)
        return True


_Jobs = dict[tuple[int, str], _Job]
"""Jobs by provider and `provider_job_id`."""


def _find_jobs(db: Connection, reports: Sequence[Report]) -> _Jobs:
    names = {
        (report.provider_id, name) for report in reports for name in report.job_names
    }
    return {
        (row.provider_id, row.provider_job_id): _Job(row)
        for row in stored_jobs.find_reported_jobs(db, names)
    }


def _find_stored_ids(db: Connection, jobs: _Jobs, reports: Sequence[Report]) -> None:
    sent: dict[tuple[int, str], list[bytes]] = {}
    for report in reports:
        for event in report.events:
            name = (report.provider_id, event.provider_job_id)
            sent.setdefault(name, []).append(event.event_id)
    for name, job in jobs.items():
        job.known = stored_events.find_known_event_ids(db, job.row.id, sent[name])


def _add(jobs: _Jobs, report: Report) -> list[Recorded]:
    """Add the events of a report to their jobs; return their outcomes."""
    found = {name: jobs.get((report.provider_id, name)) for name in report.job_names}
    allowed = {
        name: job
        for name, job in found.items()
        if job is not None and report.only_job_id in (None, job.row.id)
    }
    return [
        job.add(event)
        if (job := allowed.get(event.provider_job_id))
        else Refusal.UNKNOWN_JOB
        for event in report.events
    ]


def _advance_state(db: Connection, job: _Job) -> JobState:
    """Return the state of a job after its new events, which are stored already."""
    history = _StoredHistory(db, job.row.id)
    if not job.is_current:
        return project(job.plan, history.all_facts())
    return advance(job.plan, job.state, job.fresh, history)


class _StoredHistory:
    """Stored events of a job; see `History`."""

    def __init__(self, db: Connection, job_id: int) -> None:
        self._db, self._job_id = db, job_id

    def status_facts(self) -> Iterable[StoredEvent]:
        return stored_events.status_events(self._db, self._job_id)

    def next_progress(self, tag: str | None, after: Key | None) -> StoredEvent | None:
        return stored_events.find_next_progress(self._db, self._job_id, tag, after)

    def all_facts(self) -> Iterable[StoredEvent]:
        return stored_events.all_events(self._db, self._job_id)

    def progress_tags(self) -> Sequence[str]:
        return stored_events.list_progress_tags(self._db, self._job_id)


def plan_of(job: Row[Any] | ReportedJob) -> Plan:
    """Return the plan of a job, from its configuration and its finish."""
    return Plan(
        points=compute_once(job.document, points_of),
        explicit_finish=job.finish == "explicit",
    )
