"""Deletion of jobs and all rows of these jobs, in steps of bounded size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import delete, select, tuple_

from trackerapi_backend.store.schema import (
    api_keys,
    customer_messages,
    customer_values,
    events,
    jobs,
    share_links,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, CursorResult, Delete, Table

MAX_JOBS = 500
"""Maximum number of jobs of one step.

Some builds of SQLite accept only 999 values in a statement."""

# The tables with a foreign key to `jobs`.
_TABLES_OF_JOBS = (events, customer_values, customer_messages, share_links, api_keys)


def delete_job_rows(db: Connection, job_ids: Sequence[int], limit: int) -> int:
    """Delete jobs with their events, customer view, share links and tokens.

    The row in `jobs` is deleted last: a job exists until all its other rows are
    deleted. On PostgreSQL the jobs stay locked until the end of the transaction:
    meanwhile, no report can add rows to these jobs.

    Args:
        db: Connection in a transaction that no other command shares.
        job_ids: Ids of the jobs, at most `MAX_JOBS`; unknown ids are ignored.
        limit: Maximum number of rows to delete, at least 1.

    Returns:
        Unused part of `limit`. 0 means that rows may be left: call the function again,
        in another transaction.
    """
    # Reports lock jobs in the same order, by id: another order could deadlock.
    lock = select(jobs.c.id).where(jobs.c.id.in_(job_ids)).order_by(jobs.c.id)
    present = db.execute(lock.with_for_update()).scalars().all()
    for table in _TABLES_OF_JOBS:
        limit -= _delete_some(db, table, present, limit)
        if limit == 0:
            return 0
    delete_jobs = delete(jobs).where(jobs.c.id.in_(present[:limit]))
    return limit - _run(db, delete_jobs)


def _delete_some(
    db: Connection, table: Table, job_ids: Sequence[int], limit: int
) -> int:
    """Delete at most `limit` rows of jobs from a table; return the number of rows."""
    key = table.primary_key
    rows = select(*key).where(table.c.job_id.in_(job_ids)).limit(limit)
    # With ORDER BY the columns of the index, PostgreSQL searches the index: a scan of
    # the table would read the deleted rows of earlier steps again.
    in_order = rows.order_by(table.c.job_id, *key)
    return _run(db, delete(table).where(tuple_(*key).in_(in_order)))


def _run(db: Connection, statement: Delete) -> int:
    return cast("CursorResult[Any]", db.execute(statement)).rowcount
