"""Partitions on PostgreSQL that contain only events of old jobs.

Dropping such a partition deletes all its events at once instead of in many small steps.
The check reads the jobs in pages while the backend stores reports. So the transaction
of the drop blocks reports, and first looks for a job that has changed since the check
began.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, and_, cast, func, literal, select, text

from trackerapi_backend.instants import to_micros
from trackerapi_backend.store.audit_log import record_change
from trackerapi_backend.store.ids import first_id_at
from trackerapi_backend.store.partitions import (
    Partition,
    drop_partition,
    list_partitions,
    lock_schema,
)
from trackerapi_backend.store.retention import latest_arrival, list_ages
from trackerapi_backend.store.schema import jobs, providers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

PAGE_JOBS = 1000
"""Maximum number of jobs that one query checks."""
_DAY_MICROS = 86_400_000_000

_BEGIN = "SELECT pg_snapshot_xmin(pg_current_snapshot())::xid::text"
# `xmin` is the transaction that has stored the present version of a row.
_HAS_CHANGED = text(
    "SELECT EXISTS (SELECT FROM jobs WHERE id >= :first_id AND id < :end_id"
    " AND age(xmin) <= age(CAST(:begin AS xid)))"
)


@dataclass(frozen=True, slots=True)
class PartitionCheck:
    """Check whether all jobs of a partition are old.

    Attributes:
        partition: Partition to check.
        ages: Provider id and age in days of each provider with an age of retention.
        now: Time from which the ages are counted back.
        statuses: Statuses of the jobs that the retention deletes.
        begin: Oldest transaction that may change a job after the check has begun.
    """

    partition: Partition
    ages: Sequence[tuple[int, int]]
    now: datetime
    statuses: Sequence[str]
    begin: str

    def next_page(self, db: Connection, first_id: int) -> int | None:
        """Check a page of jobs; return the first id of the next page.

        Returns:
            First id of the next page; `end_id` of the partition after the last page.
            None if a job of this page is not old.
        """
        # An INTEGER of PostgreSQL has 32 bits, too few for microseconds.
        age = cast(providers.c.retention_days, BigInteger) * _DAY_MICROS
        before = literal(to_micros(self.now), BigInteger) - age
        is_old = and_(
            jobs.c.status.in_(self.statuses),
            func.coalesce(latest_arrival(), 0) < before,
        )
        page = (
            select(jobs.c.id, is_old)
            .join(providers, providers.c.id == jobs.c.provider_id)
            .where(jobs.c.id >= first_id, jobs.c.id < self.partition.end_id)
            .order_by(jobs.c.id)
            .limit(PAGE_JOBS)
        )
        rows = db.execute(page).all()
        # The second column is null for a provider without an age.
        if not all(row[1] for row in rows):
            return None
        is_last = len(rows) < PAGE_JOBS
        return self.partition.end_id if is_last else int(rows[-1][0]) + 1

    def drop(self, db: Connection) -> bool:
        """Drop the partition if no job and no age has changed since the check began.

        Returns:
            Whether the partition is dropped; False also while a reader uses the events.
        """
        lock_schema(db)
        limits = {
            "first_id": self.partition.first_id,
            "end_id": self.partition.end_id,
            "begin": self.begin,
        }
        has_changed = db.execute(_HAS_CHANGED, limits).scalar_one()
        if has_changed or list_ages(db) != self.ages:
            return False
        is_dropped = drop_partition(db, self.partition)
        if is_dropped:
            record_change(
                db,
                provider_id=None,
                key_id=None,
                action="drop_partition",
                details={"partition": self.partition.name},
            )
        return is_dropped


def begin_checks(
    db: Connection,
    ages: Sequence[tuple[int, int]],
    now: datetime,
    statuses: Sequence[str],
) -> list[PartitionCheck]:
    """Return a check of each partition that may contain only old jobs.

    A partition is left out if a job in its range may be younger than the smallest age,
    or if a job in its range belongs to a provider without an age.

    Args:
        db: Connection to read from.
        ages: Provider id and age in days of each provider with an age; not empty.
        now: Time from which the ages are counted back.
        statuses: Statuses of the jobs that the retention deletes.

    Returns:
        The checks; an empty list on SQLite.
    """
    before = first_id_at(now - timedelta(days=min(days for _, days in ages)))
    past = [each for each in list_partitions(db) if each.end_id <= before]
    if not past:
        return []
    begin = db.exec_driver_sql(_BEGIN).scalar_one()
    return [
        PartitionCheck(each, ages, now, statuses, begin)
        for each in past
        if not _has_jobs_without_age(db, each)
    ]


def _has_jobs_without_age(db: Connection, partition: Partition) -> bool:
    jobs_of_provider = select(jobs.c.id).where(
        jobs.c.provider_id == providers.c.id,
        jobs.c.id >= partition.first_id,
        jobs.c.id < partition.end_id,
    )
    query = select(providers.c.id).where(
        providers.c.retention_days.is_(None), jobs_of_provider.exists()
    )
    return db.execute(query.limit(1)).first() is not None
