"""Partitions of the events on PostgreSQL: one table for the jobs of each month.

A job id begins with the time of the creation, so a month is a range of job ids. If the
month of a job has no partition, the events of the job are in the default partition. On
SQLite the events are one table: no partition is listed or created.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from trackerapi_backend.store.driver_sql import is_postgres
from trackerapi_backend.store.ids import first_id_at
from trackerapi_backend.store.postgres_sql import LOCK_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy import Connection

MONTHS_AHEAD = 2
"""Number of months after the current month for which partitions are created."""

LOCK_MILLISECONDS = 200
"""Time limit for the wait until no reader uses the events, in milliseconds."""

_LIST = """
SELECT child.relname, pg_get_expr(child.relpartbound, child.oid)
FROM pg_inherits JOIN pg_class child ON child.oid = pg_inherits.inhrelid
WHERE pg_inherits.inhparent = 'events'::regclass ORDER BY child.relname
"""
_RANGE = re.compile(r"FOR VALUES FROM \('?(\w+)'?\) TO \('?(\w+)'?\)")
_MIN_ID, _MAX_ID = -(2**63), 2**63 - 1
_LIMITS = {"MINVALUE": _MIN_ID, "MAXVALUE": _MAX_ID}


class Partition(NamedTuple):
    """Partition with the events of a range of jobs.

    Attributes:
        name: Name of the table of the partition.
        first_id: Smallest job id of the range.
        end_id: Smallest job id after the range.
    """

    name: str
    first_id: int
    end_id: int

    def overlaps(self, other: Partition) -> bool:
        """Return whether a job id can be in both ranges."""
        return self.first_id < other.end_id and other.first_id < self.end_id


def list_partitions(db: Connection) -> list[Partition]:
    """Return all partitions except the default partition; an empty list on SQLite."""
    if not is_postgres(db):
        return []
    found = (
        (name, _RANGE.fullmatch(bound)) for name, bound in db.exec_driver_sql(_LIST)
    )
    return [
        Partition(name, _id_of(bound[1]), _id_of(bound[2]))
        for name, bound in found
        if bound is not None
    ]


def _id_of(limit: str) -> int:
    return _LIMITS.get(limit) or int(limit)


def missing_partitions(db: Connection, now: datetime) -> list[Partition]:
    """Return the missing partitions of this month and the next `MONTHS_AHEAD` months.

    A month is left out if its range overlaps an existing partition. A month with events
    in the default partition is left out too: PostgreSQL would reject a partition for
    these events. The list is empty on SQLite.
    """
    if not is_postgres(db):
        return []
    known = list_partitions(db)
    return [
        month
        for month in _months(now)
        if not any(month.overlaps(each) for each in known)
        and not _has_default_events(db, month)
    ]


def _months(now: datetime) -> Iterator[Partition]:
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for _ in range(MONTHS_AHEAD + 1):
        following = (start + timedelta(days=32)).replace(day=1)
        name = f"events_{start:%Y_%m}"
        yield Partition(name, first_id_at(start), first_id_at(following))
        start = following


def _has_default_events(db: Connection, month: Partition) -> bool:
    query = (
        "SELECT 1 FROM events_default"  # noqa: S608 -- numbers
        f" WHERE job_id >= {month.first_id} AND job_id < {month.end_id} LIMIT 1"
    )
    return db.exec_driver_sql(query).first() is not None


def add_partitions(db: Connection, now: datetime) -> None:
    """Create the missing partitions.

    The caller begins a transaction that no other command shares. A partition stays
    missing while a reader, such as `pg_dump`, uses the events.
    """
    for each in missing_partitions(db, now):
        _change_tables(
            db,
            f"CREATE TABLE {each.name} PARTITION OF events"
            f" FOR VALUES FROM ({each.first_id}) TO ({each.end_id})",
        )


def drop_partition(db: Connection, partition: Partition) -> bool:
    """Delete all events of a partition at once.

    The caller begins a transaction that no other command shares.

    Returns:
        Whether the partition is dropped; False while a reader uses the events.
    """
    _change_tables(db, f"DROP TABLE {partition.name}")
    return partition not in list_partitions(db)


def lock_schema(db: Connection) -> None:
    """Wait for all other writing transactions, and block new ones until the commit.

    Without this lock, a report and a change of the tables could deadlock.
    """
    db.exec_driver_sql(LOCK_SCHEMA)


def _change_tables(db: Connection, statement: str) -> None:
    """Run a statement that needs an exclusive lock on the events.

    The statement has no effect if a reader uses the events for `LOCK_MILLISECONDS`. All
    reports wait meanwhile. The DO block catches the error of the time limit: a failed
    statement would end the transaction. The DO block also hides DROP from psycopg:
    psycopg would discard the prepared statements of the session.
    """
    lock_schema(db)
    db.exec_driver_sql(
        "DO $$ BEGIN"
        f" SET LOCAL lock_timeout = '{LOCK_MILLISECONDS}ms';"
        f" {statement};"
        " SET LOCAL lock_timeout TO DEFAULT;"
        " EXCEPTION WHEN lock_not_available THEN NULL;"
        " END $$"
    )
