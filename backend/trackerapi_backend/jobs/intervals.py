"""Usual interval between the reports of a job, from the job itself and earlier jobs.

Each step has an interval. A step that has reported often enough has its own interval.
For any other step, the interval is the median of the newest succeeded jobs with the
same tag, with any revision of the configuration. Both intervals are computed from
stored states only, so the order in which events arrive has no effect.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from trackerapi_backend.projection.snapshot import find_step
from trackerapi_backend.projection.statuses import JobStatus, StepStatus
from trackerapi_backend.store import jobs as stored_jobs
from trackerapi_backend.store.ids import created_by_id

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection, Row

    from trackerapi_backend.projection.job import JobState
    from trackerapi_backend.projection.step import StepState

OWN_REPORTS = 5
"""Number of reports from which a step has its own usual interval."""
MAX_OFFLINE = 7 * 24 * 60 * 60 * 1_000_000
"""Longest time for which a job may run before its creation reaches the backend, in
microseconds: as long as the largest `silent_after`."""
RECENT_JOBS = 20
"""Number of newest succeeded jobs that determine the interval of a young step."""

_UNDER_WAY = frozenset({StepStatus.RUNNING, StepStatus.WAITING})
_MICROS = 1_000_000


def find_usual_interval(db: Connection, job: Row[Any], state: JobState) -> float | None:
    """Return the usual interval between the reports of a running job, in seconds.

    If several steps are under way, the shortest interval counts: each report of a step
    is a report of the job. Return None if no step under way has a known interval.

    Args:
        db: Connection to read from.
        job: Row of the job.
        state: State of the job.
    """
    known_for = (state.last_event_at or 0) - created_by_id(job.id)
    intervals = []
    unknown = []
    for name, step in state.steps.items():
        if step.status not in _UNDER_WAY:
            continue
        own = _own_interval(step, known_for)
        if own is None:
            unknown.append(name)
        else:
            intervals.append(own)
    if unknown:
        intervals += _find_learnt(db, job.provider_id, job.tag, unknown)
    return min(intervals) / _MICROS if intervals else None


def _own_interval(step: StepState, known_for: int) -> float | None:
    """Return the interval of a step that has reported often enough, in microseconds.

    Return None if the reports of the step span more time than the job can have run: the
    clock of the host was set meanwhile. With a first report in 1970, the mean interval
    would be years, and a silent job would count as live.

    Args:
        step: State of the step.
        known_for: Time from the creation of the job to its newest receipt, in
            microseconds.
    """
    first, last = step.first_report_at, step.last_report_at
    if step.report_count < OWN_REPORTS or first is None or last is None:
        return None
    return step.interval if last - first <= known_for + MAX_OFFLINE else None


def _find_learnt(
    db: Connection, provider_id: int, tag: str, steps: Collection[str]
) -> list[float]:
    """Return the intervals of steps in the newest succeeded jobs, in microseconds."""
    documents = stored_jobs.read_newest_states(
        db, provider_id, tag, JobStatus.SUCCEEDED, limit=RECENT_JOBS
    )
    # Read only these steps: a state may have many more steps.
    found = ([find_step(each, step) for each in documents] for step in steps)
    known = (
        [step.interval for step in states if step and step.interval is not None]
        for states in found
    )
    return [median(intervals) for intervals in known if intervals]
