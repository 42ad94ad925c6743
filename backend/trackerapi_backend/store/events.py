"""Queries on the events of a job; the caller has checked the provider of the job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from trackerapi_backend.store.paging import Page, Span, fetch_page
from trackerapi_backend.store.schema import events

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Row

_IDS_PER_QUERY = 900
"""Maximum number of ids in one statement: some SQLite builds accept only 999 values."""


def find_known_event_ids(
    db: Connection, job_id: int, event_ids: Sequence[bytes]
) -> set[bytes]:
    """Return the ids that belong to stored events of the job."""
    # No other command stores the same event between this query and the insert: the
    # writer runs one transaction at a time.
    known: set[bytes] = set()
    for first in range(0, len(event_ids), _IDS_PER_QUERY):
        some = event_ids[first : first + _IDS_PER_QUERY]
        query = select(events.c.event_id).where(
            events.c.job_id == job_id, events.c.event_id.in_(some)
        )
        known.update(db.execute(query).scalars())
    return known


def add_events(db: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store events with new ids."""
    db.execute(insert(events), rows)


def find_event(db: Connection, job_id: int, event_id: bytes) -> Row[Any]:
    """Return a stored event of a job by its id."""
    return db.execute(
        select(events).where(events.c.job_id == job_id, events.c.event_id == event_id)
    ).one()


def all_events(db: Connection, job_id: int) -> Sequence[Row[Any]]:
    """Return all events of a job in order of arrival."""
    return db.execute(
        select(events).where(events.c.job_id == job_id).order_by(events.c.sequence)
    ).all()


def list_events(db: Connection, job_id: int, span: Span) -> Page:
    """Return a page of the events of a job, in order of arrival."""
    query = select(events).where(events.c.job_id == job_id)
    return fetch_page(db, query, events.c.sequence, span, ascending=True)
