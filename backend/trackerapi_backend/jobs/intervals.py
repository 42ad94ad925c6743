"""Usual interval between the reports of a job, from the job itself and earlier jobs.

The interval is known per configuration and step. A step that has reported often enough
has its own interval. For any other step, the interval is the median of the newest
succeeded jobs with the same tag, whatever revision of the configuration they have. Both
follow from stored states alone, so the order in which events arrive has no effect.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from trackerapi_backend.projection.snapshot import find_step
from trackerapi_backend.projection.statuses import JobStatus, StepStatus
from trackerapi_backend.store import jobs as stored_jobs

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

    from trackerapi_backend.projection.job import JobState

OWN_REPORTS = 5
"""Number of reports from which a step has its own usual interval."""
RECENT_JOBS = 20
"""Number of succeeded jobs whose steps have the usual intervals of new jobs."""

_UNDER_WAY = frozenset({StepStatus.RUNNING, StepStatus.WAITING})
_MICROS = 1_000_000


def find_usual_interval(
    db: Connection, provider_id: int, tag: str, state: JobState
) -> float | None:
    """Return the usual interval between the reports of a job at present, in seconds.

    Of several steps under way, the shortest interval counts: each report of any step is
    a report of the job. None without a step under way whose interval is known.

    Args:
        db: Connection to read from.
        provider_id: Provider of the job.
        tag: Tag of the configuration of the job.
        state: State of the job.
    """
    intervals = []
    unknown = []
    for name, step in state.steps.items():
        if step.status not in _UNDER_WAY:
            continue
        if step.report_count >= OWN_REPORTS and step.interval is not None:
            intervals.append(step.interval)
        else:
            unknown.append(name)
    if unknown:
        intervals += _find_learnt(db, provider_id, tag, unknown)
    return min(intervals) / _MICROS if intervals else None


def _find_learnt(
    db: Connection, provider_id: int, tag: str, steps: Collection[str]
) -> list[float]:
    """Return the intervals of steps in the newest succeeded jobs, in microseconds."""
    documents = stored_jobs.read_newest_states(
        db, provider_id, tag, JobStatus.SUCCEEDED, limit=RECENT_JOBS
    )
    # Only these steps are read: the states may have many more.
    found = ([find_step(each, step) for each in documents] for step in steps)
    known = (
        [step.interval for step in states if step and step.interval is not None]
        for states in found
    )
    return [median(intervals) for intervals in known if intervals]
