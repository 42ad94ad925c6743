"""Queries on jobs; each row has the `document` of the job's configuration."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import BigInteger, Text, func, insert, select, type_coerce

from trackerapi_backend.instants import to_micros
from trackerapi_backend.store import postgres_sql, sqlite_sql
from trackerapi_backend.store.driver_sql import is_postgres
from trackerapi_backend.store.ids import JOB_IDS, LAST_CLOCK_ID, first_id_at
from trackerapi_backend.store.paging import Page, Span, fetch_page, select_span
from trackerapi_backend.store.schema import (
    MAX_ID,
    job_configurations,
    jobs,
    parse_document,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Row

    from trackerapi_backend.store.documents import Document

MAX_JOBS_BY_ID = 400
"""Maximum number of jobs that a condition lists by id: some builds of SQLite accept no
more than 999 values in one statement."""

MAX_STATE_LENGTH = 100_000
"""Maximum length of a state that is read together with others, in characters."""

_STEP_LENGTH = 300
"""Usual length of a step in the answer about a job, in characters."""

_NAMES_PER_QUERY = 450
"""Maximum number of jobs that a condition lists by provider and `provider_job_id`: each
job needs two of the 999 values."""

_with_document = select(jobs, job_configurations.c.document).outerjoin(
    job_configurations, job_configurations.c.id == jobs.c.configuration_id
)
_REPORTED = (
    "SELECT jobs.id, jobs.provider_id, jobs.provider_job_id, jobs.finish, jobs.status,"
    " jobs.state, job_configurations.document FROM jobs LEFT JOIN job_configurations"
    " ON job_configurations.id = jobs.configuration_id"
)
_LOCK_REPORTED = (
    f"{_REPORTED} WHERE (jobs.provider_id, jobs.provider_job_id) IN"  # noqa: S608 -- constants
    " (SELECT * FROM unnest($1::bigint[], $2::text[]))"
    " ORDER BY jobs.id FOR NO KEY UPDATE OF jobs"
)
_SAVE_STATES = (
    "UPDATE jobs SET status = new.status, state = new.state"
    " FROM unnest($1::bigint[], $2::text[], $3::text[]) AS new (id, status, state)"
    " WHERE jobs.id = new.id"
)


class ClockError(Exception):
    """Failure to make a job id: the clock of this machine is too far ahead."""


def create_job(db: Connection, values: Mapping[str, Any], *, now: datetime) -> int:
    """Store a job; return its id, larger than the ids of the provider's earlier jobs.

    Raises:
        ClockError: If `now` is later than `LAST_CLOCK_ID` allows.
    """
    if first_id_at(now) > LAST_CLOCK_ID:
        raise ClockError(now)
    job_id = JOB_IDS.make(db, values["provider_id"], now=now)
    if job_id > MAX_ID:
        raise ClockError(now)
    db.execute(insert(jobs).values({**values, "id": job_id}))
    return job_id


def find_job(db: Connection, provider_id: int, job_id: int) -> Row[Any] | None:
    """Return a job of a provider by its id."""
    return db.execute(
        _with_document.where(jobs.c.provider_id == provider_id, jobs.c.id == job_id)
    ).first()


def find_newest_job_id(db: Connection, provider_id: int) -> int | None:
    """Return the id of the provider's newest job; None without a job."""
    query = select(jobs.c.id).where(jobs.c.provider_id == provider_id)
    return db.execute(query.order_by(jobs.c.id.desc()).limit(1)).scalar()


def find_job_by_provider_job_id(
    db: Connection, provider_id: int, provider_job_id: str
) -> Row[Any] | None:
    """Return a job by its id at the provider."""
    return db.execute(
        _with_document.where(
            jobs.c.provider_id == provider_id,
            jobs.c.provider_job_id == provider_job_id,
        )
    ).first()


def read_newest_states(
    db: Connection, provider_id: int, tag: str, status: str, *, limit: int
) -> Sequence[Mapping[str, Any]]:
    """Return the states of the newest jobs with a tag and a status.

    A state of more than `MAX_STATE_LENGTH` characters is left out.
    """
    newest = (
        select(jobs.c.id)
        .where(
            jobs.c.provider_id == provider_id,
            jobs.c.tag == tag,
            jobs.c.status == status,
        )
        .order_by(jobs.c.id.desc())
        .limit(limit)
    )
    ids = db.execute(newest).scalars().all()
    query = select(jobs.c.state).where(
        jobs.c.id.in_(ids),
        func.length(type_coerce(jobs.c.state, Text)) <= MAX_STATE_LENGTH,
    )
    return db.execute(query).scalars().all()


def list_jobs(
    db: Connection, provider_id: int, filters: Mapping[str, Any], span: Span
) -> Page:
    """Return a page of jobs, newest first.

    Args:
        db: Connection to read from.
        provider_id: Provider of the jobs.
        filters: Any of `id`, `provider_job_id`, `customer_id`, `tag`, `status` (a
            list of statuses) and `created_since` (an instant).
        span: Part of the list to read.
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
    """Return a function that weighs a row by the memory that its answer needs.

    The weight of a job is the length of its steps in the answer. The first job of a
    configuration also has the length of the document, which all its jobs share.
    """
    seen: set[int | None] = {None}

    def weigh(job: Row[Any]) -> int:
        if job.document is None:
            return 0
        weight = _STEP_LENGTH * len(job.document["step_configurations"])
        if job.configuration_id not in seen:
            seen.add(job.configuration_id)
            weight += int(job.document.length)
        return weight

    return weigh


def _created_since(
    db: Connection, provider_id: int, instant: datetime
) -> ColumnElement[bool]:
    """Return the condition that a job was created at or after an instant.

    The list is in the order of ids, while the clock of a job determines `created_at`.
    Searching in the order of ids would read all old jobs to find a few new jobs. So the
    condition lists the ids of the new jobs, if there are at most `MAX_JOBS_BY_ID`.
    """
    recent = select(jobs.c.id).where(
        jobs.c.provider_id == provider_id, jobs.c.created_at >= instant
    )
    ids = db.execute(recent.limit(MAX_JOBS_BY_ID + 1)).scalars().all()
    if len(ids) <= MAX_JOBS_BY_ID:
        return jobs.c.id.in_(ids)
    # `+ 0` keeps SQLite from searching the index of `created_at`: the order of that
    # index differs from the order of the list, so SQLite would sort all rows.
    created_at = type_coerce(jobs.c.created_at, BigInteger)
    return created_at + 0 >= to_micros(instant)


def _newest_ids(
    db: Connection,
    conditions: Sequence[ColumnElement[bool]],
    statuses: Sequence[str],
    span: Span,
) -> list[int]:
    """Return the ids of the newest jobs with one of the statuses, for one page.

    Runs one query for each status: an index has the jobs of one status in order. A
    single query for several statuses would sort all their jobs.
    """
    found: list[int] = []
    for status in sorted(set(statuses)):
        ids = select(jobs.c.id).where(*conditions, jobs.c.status == status)
        found += db.execute(select_span(ids, jobs.c.id, span)).scalars()
    return heapq.nlargest(span.limit + 1, found)


class ReportedJob(NamedTuple):
    """Job of new events.

    Attributes:
        document: Configuration; None for a job without a configuration.
        state: Snapshot of the projection, as JSON text.
    """

    id: int
    provider_id: int
    provider_job_id: str
    finish: str
    status: str
    state: str
    document: Document | None


def find_reported_jobs(
    db: Connection, names: Collection[tuple[int, str]]
) -> Iterator[ReportedJob]:
    """Yield the jobs with these pairs of provider id and `provider_job_id`.

    On PostgreSQL the jobs stay locked until the end of the transaction. All
    transactions lock their jobs in the same order, so that they do not wait for each
    other in a circle.
    """
    for row in _fetch_reported(db, list(names)):
        yield ReportedJob(
            id=row[0],
            provider_id=row[1],
            provider_job_id=row[2],
            finish=row[3],
            status=row[4],
            state=row[5],
            document=parse_document(row[6]),
        )


def _fetch_reported(
    db: Connection, names: Sequence[tuple[int, str]]
) -> Iterator[Sequence[Any]]:
    if is_postgres(db):
        # A single query: several queries could lock jobs in another order.
        if names:
            columns = [*zip(*names, strict=True)]
            yield from postgres_sql.fetch(db, _LOCK_REPORTED, columns)
        return
    for first in range(0, len(names), _NAMES_PER_QUERY):
        batch = names[first : first + _NAMES_PER_QUERY]
        pairs = ", ".join(["(?, ?)"] * len(batch))
        where = f"WHERE (jobs.provider_id, jobs.provider_job_id) IN (VALUES {pairs})"
        values = tuple(value for name in batch for value in name)
        yield from sqlite_sql.fetch(db, f"{_REPORTED} {where}", values)


def save_states(db: Connection, states: Sequence[tuple[ReportedJob, str, str]]) -> None:
    """Replace the states of jobs.

    Args:
        db: Connection in a transaction.
        states: For each job, the job as it was read in this transaction, the new
            status, and the new state, a snapshot of the projection as JSON text.
    """
    if is_postgres(db):
        if states:
            rows = [(job.id, status, state) for job, status, state in states]
            postgres_sql.queue(db, _SAVE_STATES, [*zip(*rows, strict=True)])
        return
    # The UPDATE omits an unchanged status: SQLite would rewrite each index that
    # contains the status.
    same = [(state, job.id) for job, status, state in states if status == job.status]
    changed = [
        (status, state, job.id) for job, status, state in states if status != job.status
    ]
    sqlite_sql.execute_many(db, "UPDATE jobs SET state = ? WHERE id = ?", same)
    sqlite_sql.execute_many(
        db, "UPDATE jobs SET status = ?, state = ? WHERE id = ?", changed
    )
