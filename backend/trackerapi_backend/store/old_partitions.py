"""Partitions of the events that hold only old jobs, on PostgreSQL.

Dropping such a partition deletes its events at once, in place of many small steps. The
jobs are checked in pages, while reports go on. So right before the drop, a query that
excludes reports looks for a job that has changed since the begin of the check.
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
    """Check of whether all jobs of a partition are old.

    Attributes:
        partition: Partition to check.
        ages: Id and age in days of each provider with an age of retention.
        now: Time at which the ages count.
        statuses: Statuses of jobs that have ended.
        begin: Transaction from which on a change of a job is newer than the check.
    """

    partition: Partition
    ages: Sequence[tuple[int, int]]
    now: datetime
    statuses: Sequence[str]
    begin: str

    def next_page(self, db: Connection, first_id: int) -> int | None:
        """Check a page of jobs; return the first id of the next page.

        Returns:
            The end of the partition after its last page; None if a job is not old.
        """
        # BIGINT: an integer of PostgreSQL has 32 bits.
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
        # Null means that the provider has no age.
        if not all(row[1] for row in rows):
            return None
        is_last = len(rows) < PAGE_JOBS
        return self.partition.end_id if is_last else int(rows[-1][0]) + 1

    def drop(self, db: Connection) -> bool:
        """Drop the partition if nothing has changed since the check.

        Returns:
            Whether the partition is dropped.
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
    """Return checks of the partitions that may have only old jobs; none on SQLite.

    Left out are partitions with jobs that are newer than the smallest age, and those
    with jobs of a provider without an age.
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
    of_provider = select(jobs.c.id).where(
        jobs.c.provider_id == providers.c.id,
        jobs.c.id >= partition.first_id,
        jobs.c.id < partition.end_id,
    )
    query = select(providers.c.id).where(
        providers.c.retention_days.is_(None), of_provider.exists()
    )
    return db.execute(query.limit(1)).first() is not None
