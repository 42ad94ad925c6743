"""Queries about jobs. Rows carry the `document` of the job's configuration."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, func, insert, select, type_coerce, update

from trackerapi_backend.instants import to_micros
from trackerapi_backend.store.paging import Page, Span, fetch_page, part_of
from trackerapi_backend.store.schema import MAX_ID, job_configurations, jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Row

# A job id is its creation's millisecond and, below, 12 bits to tell neighbours apart.
_NEIGHBOUR_BITS = 12

# The largest id that a clock may lead to, in September 2039: above it remain ids for
# the jobs that are made once a clock that was wrong is right again.
LAST_CLOCK_ID = MAX_ID - 2**40

# Fewer than the values that any SQLite takes in one statement.
FEW_JOBS = 400

_with_document = select(jobs, job_configurations.c.document).outerjoin(
    job_configurations, job_configurations.c.id == jobs.c.configuration_id
)


class ClockError(Exception):
    """The clock of this machine is so far ahead that no id can be made from it."""


def create_job(db: Connection, values: Mapping[str, Any], *, now: datetime) -> int:
    """Store a job; return its id, larger than that of any job before.

    Raises:
        ClockError: If `now` is later than `LAST_CLOCK_ID` allows.
    """
    by_clock = to_micros(now) // 1000 << _NEIGHBOUR_BITS
    # Not above MAX_ID: a database of an earlier release may hold such ids.
    newest = db.execute(select(func.max(jobs.c.id)).where(jobs.c.id <= MAX_ID))
    job_id = max((newest.scalar() or 0) + 1, by_clock)
    if by_clock > LAST_CLOCK_ID or job_id > MAX_ID:
        raise ClockError(now)
    db.execute(insert(jobs).values({**values, "id": job_id}))
    return job_id


def find_job(db: Connection, provider_id: int, job_id: int) -> Row[Any] | None:
    """Return the provider's job."""
    return db.execute(
        _with_document.where(jobs.c.provider_id == provider_id, jobs.c.id == job_id)
    ).first()


def find_job_by_its_name(
    db: Connection, provider_id: int, provider_job_id: str
) -> Row[Any] | None:
    """Return the job that the provider knows under this id of its own."""
    return db.execute(
        _with_document.where(
            jobs.c.provider_id == provider_id,
            jobs.c.provider_job_id == provider_job_id,
        )
    ).first()


def list_jobs(
    db: Connection, provider_id: int, filters: Mapping[str, Any], span: Span
) -> Page:
    """Return a page of jobs, newest first.

    Args:
        db: Connection to read from.
        provider_id: Whose.
        filters: Any of `id`, `provider_job_id`, `customer_id`, `tag`, a list of
            `status`, and `created_since`, an instant.
        span: The part.
    """
    where = [jobs.c.provider_id == provider_id]
    where += [
        jobs.c[name] == filters[name]
        for name in ("id", "provider_job_id", "customer_id", "tag")
        if name in filters
    ]
    if "created_since" in filters:
        where.append(_created_since(db, provider_id, filters["created_since"]))
    if "status" in filters:
        where = [jobs.c.id.in_(_newest_ids(db, where, filters["status"], span))]
    query = _with_document.where(*where)
    return fetch_page(db, query, jobs.c.id, span, weigh=_weigher())


def _weigher() -> Callable[[Row[Any]], int]:
    """Return a function that weighs the configuration of a job when it is new."""
    seen: set[int | None] = {None}

    def weigh(job: Row[Any]) -> int:
        if job.configuration_id in seen:
            return 0
        seen.add(job.configuration_id)
        return int(job.document.length)

    return weigh


def _created_since(
    db: Connection, provider_id: int, instant: datetime
) -> ColumnElement[bool]:
    """Return the condition that a job was created at or after an instant.

    A list is in the order of ids, so that few young jobs would be looked for among
    all old ones: few are named by their ids.
    """
    young = select(jobs.c.id).where(
        jobs.c.provider_id == provider_id, jobs.c.created_at >= instant
    )
    ids = db.execute(young.limit(FEW_JOBS + 1)).scalars().all()
    if len(ids) <= FEW_JOBS:
        return jobs.c.id.in_(ids)
    # A sum, which no index knows: the index of created_at has another order.
    created_at = type_coerce(jobs.c.created_at, BigInteger)
    return created_at + 0 >= to_micros(instant)


def _newest_ids(
    db: Connection,
    conditions: Sequence[ColumnElement[bool]],
    statuses: Sequence[str],
    span: Span,
) -> list[int]:
    """Return the ids of a page of jobs that have one of the statuses.

    One query for each status: an index holds the jobs of one status in order, and
    jobs of several statuses would have to be sorted, all of them.
    """
    found: list[int] = []
    for status in sorted(set(statuses)):
        ids = select(jobs.c.id).where(*conditions, jobs.c.status == status)
        found += db.execute(part_of(ids, jobs.c.id, span)).scalars()
    return heapq.nlargest(span.limit + 1, found)


def save_state(
    db: Connection, job: Row[Any], status: str, state: Mapping[str, Any]
) -> None:
    """Replace what the events of a job amount to.

    Args:
        db: Connection in a transaction.
        job: The job as it was read in this transaction.
        status: Its status now.
        state: Its state now.
    """
    # An unchanged status stays out of the statement: SQLite would write each index
    # that holds it anew.
    changed = {} if status == job.status else {"status": status}
    db.execute(update(jobs).where(jobs.c.id == job.id).values(state=state, **changed))
