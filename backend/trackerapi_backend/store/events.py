"""Queries on the events of a job; the caller has checked the provider of the job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import and_, func, or_, select

from trackerapi_backend.store.driver_sql import insert_rows
from trackerapi_backend.store.paging import Page, Span, fetch_page
from trackerapi_backend.store.schema import IS_PROGRESS, IS_STATUS_EVENT, events
from trackerapi_backend.store.sqlite_sql import MAX_VALUES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection, Row, Select


class StoredEvent(msgspec.Struct, gc=False):
    """Row of an event, in the order of the columns.

    Attributes:
        sequence: Number of the event in its job, in order of arrival, from 1.
        event_metadata: Metadata as JSON text.
        occurred_at: Time on the clock of the job, in microseconds since 1970.
        received_at: Time on the clock of the backend, in microseconds since 1970.
    """

    job_id: int
    sequence: int
    event_id: bytes
    kind: str
    tag: str | None
    event_metadata: str
    occurred_at: int
    received_at: int
    completed: float | None
    total: float | None
    fraction: float | None
    part: str | None
    retrying: bool
    message: str | None
    detail: str | None
    failed: float | None
    max_attempts: int | None


_COLUMNS = StoredEvent.__struct_fields__


def find_known_event_ids(
    db: Connection, job_id: int, event_ids: Sequence[bytes]
) -> set[bytes]:
    """Return the ids that belong to stored events of the job."""
    # No other transaction stores the same event between this query and the insert:
    # `find_reported_jobs()` has locked the job.
    known: set[bytes] = set()
    for first in range(0, len(event_ids), MAX_VALUES):
        batch = event_ids[first : first + MAX_VALUES]
        query = select(events.c.event_id).where(
            events.c.job_id == job_id, events.c.event_id.in_(batch)
        )
        known.update(db.execute(query).scalars())
    return known


def add_events(db: Connection, rows: Sequence[StoredEvent]) -> None:
    """Store events.

    Args:
        db: Connection in a transaction.
        rows: Events with new ids.

    Raises:
        IntegrityError: If an event is stored already; on PostgreSQL, the next statement
            raises it.
    """
    insert_rows(db, "events", _COLUMNS, rows)


def _fetch_events(db: Connection, query: Select[Any]) -> list[StoredEvent]:
    return [StoredEvent(*row) for row in db.execute(query)]


def find_event(db: Connection, job_id: int, event_id: bytes) -> StoredEvent:
    """Return a stored event of a job by its id."""
    [event] = _fetch_events(
        db,
        select(events).where(events.c.job_id == job_id, events.c.event_id == event_id),
    )
    return event


def find_messages(
    db: Connection, job_id: int, event_ids: Collection[bytes]
) -> dict[bytes, str]:
    """Return the messages of some events of a job, by event id."""
    if not event_ids:
        return {}
    query = select(events.c.event_id, events.c.message).where(
        events.c.job_id == job_id, events.c.event_id.in_(event_ids)
    )
    return {row.event_id: row.message for row in db.execute(query) if row.message}


def all_events(db: Connection, job_id: int) -> Sequence[StoredEvent]:
    """Return all events of a job in order of arrival."""
    query = select(events).where(events.c.job_id == job_id)
    return _fetch_events(db, query.order_by(events.c.sequence))


def status_events(db: Connection, job_id: int) -> Sequence[StoredEvent]:
    """Return the events of a job that may change a status, except progress.

    The rows are in the order of (`occurred_at`, `event_id`).
    """
    # SQLite uses a partial index only for the literal condition of the index.
    query = select(events).where(events.c.job_id == job_id, IS_STATUS_EVENT)
    in_order = query.order_by(events.c.occurred_at, events.c.event_id)
    return _fetch_events(db, in_order)


def find_next_progress(
    db: Connection, job_id: int, tag: str | None, after: tuple[int, bytes] | None
) -> StoredEvent | None:
    """Return the first progress of a job with a tag after a time and event id.

    Args:
        db: Connection to read from.
        job_id: Id of the job.
        tag: Tag of a step; None for progress without a step.
        after: `occurred_at` and `event_id` of an event; None for the first progress.
    """
    query = select(events).where(
        events.c.job_id == job_id,
        IS_PROGRESS,
        # PostgreSQL uses an index for `=` and IS NULL, not for IS NOT DISTINCT FROM.
        events.c.tag.is_(None) if tag is None else events.c.tag == tag,
    )
    if after is not None:
        at, event_id = after
        is_same_time = and_(events.c.occurred_at == at, events.c.event_id > event_id)
        # The first condition alone lets the engine seek in the index.
        query = query.where(
            events.c.occurred_at >= at, or_(events.c.occurred_at > at, is_same_time)
        )
    in_order = query.order_by(events.c.occurred_at, events.c.event_id)
    return next(iter(_fetch_events(db, in_order.limit(1))), None)


def list_progress_tags(db: Connection, job_id: int) -> Sequence[str]:
    """Return the tags of all progress of a job, with one seek for each tag."""
    tag = events.c.tag
    first = select(func.min(tag).label("tag")).where(
        events.c.job_id == job_id, IS_PROGRESS
    )
    tags = first.cte("tags", recursive=True)
    following = (
        select(func.min(tag))
        .where(events.c.job_id == job_id, IS_PROGRESS, tag > tags.c.tag)
        .scalar_subquery()
    )
    tags = tags.union_all(select(following).where(tags.c.tag.is_not(None)))
    query = select(tags.c.tag).where(tags.c.tag.is_not(None))
    return db.execute(query).scalars().all()


def list_events(db: Connection, job_id: int, span: Span) -> Page:
    """Return a page of the events of a job, in order of arrival."""
    query = select(events).where(events.c.job_id == job_id)
    return fetch_page(
        db, query, events.c.sequence, span, ascending=True, weigh=_text_length
    )


def _text_length(event: Row[Any]) -> int:
    """Return the length of the long texts of an event, in characters."""
    texts = (event.event_metadata, event.message or "", event.detail or "")
    return sum(map(len, texts))
