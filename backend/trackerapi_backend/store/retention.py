"""Queries of the retention: jobs that are deleted because of their age.

The age of a job counts from the arrival of its latest event on the clock of the
backend. The id of a job has the time of its creation, which is earlier. So an index
finds the jobs that may be old enough, and the latest event of each job decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from sqlalchemy import func, or_, select

from trackerapi_backend.instants import from_micros, to_micros
from trackerapi_backend.store.changes import changes_of
from trackerapi_backend.store.deletion import delete_job_rows
from trackerapi_backend.store.ids import created_by_id, first_id_at
from trackerapi_backend.store.schema import (
    MAX_ID,
    api_keys,
    audit_log,
    events,
    jobs,
    providers,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, ScalarSelect


GROUP_JOBS = 50
"""Maximum number of jobs that are deleted together: each statement lists their ids."""


@dataclass(frozen=True, slots=True)
class OldJobs:
    """Jobs of a provider that have ended and have no event since an instant.

    Attributes:
        provider_id: Provider of the jobs.
        before: Time of arrival that the latest event of each job precedes.
        statuses: Statuses of jobs that have ended.
    """

    provider_id: int
    before: datetime
    statuses: Sequence[str]

    def find(self, db: Connection) -> list[int]:
        """Return the ids of at most `GROUP_JOBS` of these jobs."""
        return list(islice(self._find_all(db), GROUP_JOBS))

    def _find_all(self, db: Connection) -> Iterator[int]:
        # One query for each status: the index has the jobs of a status in order.
        for status in self.statuses:
            ids = select(jobs.c.id).where(
                jobs.c.provider_id == self.provider_id,
                jobs.c.status == status,
                self._is_old(),
            )
            in_order = ids.order_by(jobs.c.id).limit(GROUP_JOBS)
            yield from db.execute(in_order).scalars()

    def still_old(self, db: Connection, job_ids: Sequence[int]) -> Sequence[int]:
        """Return those of some jobs that are old, and lock them on PostgreSQL.

        A job whose deletion has begun is old even if an event has just arrived: the job
        lacks events, so its state would be wrong after that event.
        """
        is_chosen = (jobs.c.provider_id == self.provider_id) & jobs.c.id.in_(job_ids)
        of_jobs = select(jobs.c.id).where(is_chosen).order_by(jobs.c.id)
        # Two queries: the second query sees an event that a report has stored while the
        # first query waited for the lock.
        db.execute(of_jobs.with_for_update())
        first = select(events.c.job_id).where(
            events.c.job_id == jobs.c.id, events.c.sequence == 1
        )
        has_ended = jobs.c.status.in_(self.statuses)
        is_old = or_(self._is_old() & has_ended, ~first.exists())
        return db.execute(of_jobs.where(is_old)).scalars().all()

    def _is_old(self) -> ColumnElement[bool]:
        is_before = func.coalesce(latest_arrival(), 0) < to_micros(self.before)
        return (jobs.c.id < first_id_at(self.before)) & is_before


def latest_arrival() -> ScalarSelect[int]:
    """Return the subquery of the arrival of a job's latest event, in microseconds."""
    return (
        select(events.c.received_at)
        .where(events.c.job_id == jobs.c.id)
        .order_by(events.c.sequence.desc())
        .limit(1)
        .scalar_subquery()
    )


@dataclass(frozen=True, slots=True)
class DeletedJobs:
    """Result of one step of a deletion.

    Attributes:
        job_ids: Jobs that are deleted with all their rows.
        is_complete: Whether all old jobs among the given jobs are deleted.
    """

    job_ids: Sequence[int]
    is_complete: bool


def delete_old_jobs(
    db: Connection, old: OldJobs, job_ids: Sequence[int], limit: int
) -> DeletedJobs:
    """Delete jobs that are still old, in one of several steps.

    Args:
        db: Connection in a transaction that is not shared.
        old: Condition of an old job.
        job_ids: Ids of jobs, at most `GROUP_JOBS`.
        limit: Maximum number of rows to delete.
    """
    chosen, changes = old.still_old(db, job_ids), changes_of(db)
    tokens = select(api_keys.c.key_id).where(api_keys.c.job_id.in_(chosen))
    changes.keys.update(db.execute(tokens).scalars())
    is_complete = delete_job_rows(db, chosen, limit) > 0
    present = select(jobs.c.id).where(jobs.c.id.in_(chosen))
    left = set(db.execute(present).scalars())
    deleted = [job_id for job_id in chosen if job_id not in left]
    changes.rows.update(deleted)
    return DeletedJobs(deleted, is_complete)


def list_ages(db: Connection) -> list[tuple[int, int]]:
    """Return id and age of retention in days of each provider that has an age."""
    query = select(providers.c.id, providers.c.retention_days)
    with_age = query.where(providers.c.retention_days.is_not(None))
    return [(row[0], row[1]) for row in db.execute(with_age.order_by(providers.c.id))]


def find_newest_time(db: Connection) -> datetime | None:
    """Return the latest time of a creation of a job, of a key's use, or of a change.

    The time of the latest event would need a search through all events: a report is
    also a use of its key. None for a database without any.
    """
    job_id = db.execute(select(func.max(jobs.c.id)).where(jobs.c.id <= MAX_ID)).scalar()
    created_at = None if job_id is None else from_micros(created_by_id(job_id))
    used_at = db.execute(select(func.max(api_keys.c.last_used_at))).scalar()
    latest = select(audit_log.c.at).order_by(audit_log.c.id.desc()).limit(1)
    changed_at = db.execute(latest).scalar()
    times = [at for at in (created_at, used_at, changed_at) if at is not None]
    return max(times, default=None)
