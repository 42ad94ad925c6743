"""Ages of the newest report at which a job becomes quiet, and then silent."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from trackerapi_backend.jobs.intervals import find_usual_interval
from trackerapi_backend.pages.page_job import age_seconds
from trackerapi_backend.projection.statuses import JobStatus

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from trackerapi_backend.projection.job import JobState
    from trackerapi_backend.store.configurations import PageSettings

QUIET_SECONDS = 2 * 60
"""Age from which a job without a usual interval is quiet.

Most job scripts report at least once a minute, and one late report is no silence.
"""
SILENT_SECONDS = 60 * 60
"""Age from which a job without a usual interval is silent.

A host that restarts, or a network that fails, is usually back within an hour.
"""
QUIET_INTERVALS = 2
"""Number of usual intervals without a report after which a job is quiet."""
SILENT_INTERVALS = 10
"""Number of usual intervals without a report after which a job is silent."""
MIN_QUIET_SECONDS = 60
"""Least age of a quiet job: a job that reports each second pauses now and then."""
MIN_SILENT_SECONDS = 15 * 60
"""Least age of a silent job without `silent_after`: a host restarts within minutes."""
MAX_SILENT_SECONDS = 24 * 60 * 60
"""Largest age from which a job is silent, unless its quiet age is larger."""

BACK_SECONDS = 10 * 60
"""Time for which a page says that news is back, after its job was offline."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Ages of the newest report from which a job is quiet and silent, in seconds.

    Attributes:
        usual: Usual interval between reports; None if unknown.
        quiet: Age from which the job is quiet.
        silent: Age from which the job is silent, at least `quiet`.
    """

    usual: float | None
    quiet: float
    silent: float

    def next_after(self, age: float) -> float:
        """Return the time until a job of an age becomes quiet or silent, in seconds.

        Infinite for a silent job.
        """
        return min((b - age for b in (self.quiet, self.silent) if b > age), default=inf)


def bounds_of(usual: float | None, silent_after: int | None) -> Bounds:
    """Return the ages from which a job is quiet and silent.

    Args:
        usual: Usual interval between its reports, in seconds; None if unknown.
        silent_after: `silent_after` of its configuration; None without a value.
    """
    quiet, silent = float(QUIET_SECONDS), float(SILENT_SECONDS)
    if usual is not None:
        quiet = max(MIN_QUIET_SECONDS, QUIET_INTERVALS * usual)
        silent = max(MIN_SILENT_SECONDS, SILENT_INTERVALS * usual)
        silent = max(quiet, min(silent, MAX_SILENT_SECONDS))
    if silent_after is not None:
        silent = silent_after
    return Bounds(usual, min(quiet, silent), silent)


def find_bounds(
    db: Connection,
    job: Row[Any],
    state: JobState,
    settings: PageSettings,
    now: datetime,
) -> Bounds:
    """Return the ages from which a job is quiet and silent.

    Reads the usual interval only if the newest report is old enough to matter.
    """
    usual, age = None, age_seconds(state, now)
    if state.status is JobStatus.RUNNING and (age or 0) >= MIN_QUIET_SECONDS:
        usual = find_usual_interval(db, job, state)
    return bounds_of(usual, settings.silent_after)
