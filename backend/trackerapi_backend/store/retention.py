"""Queries of the retention, which deletes jobs because of their age.

The age of a job counts from the arrival of its latest event, on the clock of the
backend. The id of a job contains the time of its creation, which precedes all arrivals.
So an index of ids finds the jobs that may be old. The latest event of each of these
jobs then shows whether the job is old.
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
    """Old jobs of a provider: a status of `statuses`, and no event since `before`.

    Attributes:
        provider_id: Provider of the jobs.
        before: Instant before which the latest event of an old job arrived.
        statuses: Statuses of the jobs that the retention deletes.
    """

    provider_id: int
    before: datetime
    statuses: Sequence[str]

    def find(self, db: Connection) -> list[int]:
        """Return the ids of at most `GROUP_JOBS` old jobs."""
        return list(islice(self._find_all(db), GROUP_JOBS))

    def _find_all(self, db: Connection) -> Iterator[int]:
        # One query for each status: the index has the jobs of a status in order of id.
        for status in self.statuses:
            ids = select(jobs.c.id).where(
                jobs.c.provider_id == self.provider_id,
                jobs.c.status == status,
                self._is_old(),
            )
            in_order = ids.order_by(jobs.c.id).limit(GROUP_JOBS)
            yield from db.execute(in_order).scalars()

    def still_old(self, db: Connection, job_ids: Sequence[int]) -> Sequence[int]:
        """Lock the given jobs on PostgreSQL; return the ids of the old jobs among them.

        A job whose deletion has begun counts as old even if an event has just arrived:
        the job lacks events, so its state would be wrong after the new event.
        """
        is_chosen = (jobs.c.provider_id == self.provider_id) & jobs.c.id.in_(job_ids)
        jobs_in_order = select(jobs.c.id).where(is_chosen).order_by(jobs.c.id)
        # Two queries: the second query sees an event that a report has stored while the
        # first query waited for the lock.
        db.execute(jobs_in_order.with_for_update())
        first = select(events.c.job_id).where(
            events.c.job_id == jobs.c.id, events.c.sequence == 1
        )
        has_ended = jobs.c.status.in_(self.statuses)
        is_old = or_(self._is_old() & has_ended, ~first.exists())
        return db.execute(jobs_in_order.where(is_old)).scalars().all()

    def _is_old(self) -> ColumnElement[bool]:
        is_before = func.coalesce(latest_arrival(), 0) < to_micros(self.before)
        return (jobs.c.id < first_id_at(self.before)) & is_before


def latest_arrival() -> ScalarSelect[int]:
    """Return a subquery for the arrival time of a job's latest event.

    The time is in microseconds since 1970; null for a job without events.
    """
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
        job_ids: Ids of the jobs that are deleted completely.
        is_complete: Whether all old jobs among the given jobs are deleted.
    """

    job_ids: Sequence[int]
    is_complete: bool


def delete_old_jobs(
    db: Connection, old: OldJobs, job_ids: Sequence[int], limit: int
) -> DeletedJobs:
    """Delete the rows of jobs that are still old, up to a limit.

    Call the function again until `is_complete`.

    Args:
        db: Connection in a transaction that no other command shares.
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
    """Return provider id and age in days of each provider with an age of retention."""
    query = select(providers.c.id, providers.c.retention_days)
    with_age = query.where(providers.c.retention_days.is_not(None))
    return [(row[0], row[1]) for row in db.execute(with_age.order_by(providers.c.id))]


def find_newest_time(db: Connection) -> datetime | None:
    """Return the newest time that the database shows; None for an empty database.

    The function compares the latest creation of a job, the latest use of a key, and the
    latest entry of the audit log. Events are not read: their index is by job, and each
    report also counts as a use of its key.
    """
    job_id = db.execute(select(func.max(jobs.c.id)).where(jobs.c.id <= MAX_ID)).scalar()
    created_at = None if job_id is None else from_micros(created_by_id(job_id))
    used_at = db.execute(select(func.max(api_keys.c.last_used_at))).scalar()
    latest = select(audit_log.c.at).order_by(audit_log.c.id.desc()).limit(1)
    changed_at = db.execute(latest).scalar()
    times = [at for at in (created_at, used_at, changed_at) if at is not None]
    return max(times, default=None)
