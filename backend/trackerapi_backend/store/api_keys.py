"""Queries about providers and their API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, or_, select, update

from trackerapi_backend.store.paging import Page, Span, fetch_page
from trackerapi_backend.store.schema import api_keys, jobs, providers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Row


def create_provider(db: Connection, name: str, *, now: datetime) -> int:
    """Store a provider; return its id."""
    stored = insert(providers).values(name=name, created_at=now)
    return int(db.execute(stored.returning(providers.c.id)).scalar_one())


def find_provider(db: Connection, name: str | None) -> int | None:
    """Return the id of the oldest provider, or of the oldest with this name."""
    query = select(providers.c.id).order_by(providers.c.id)
    if name is not None:
        query = query.where(providers.c.name == name)
    return db.execute(query).scalar()


def create_key(db: Connection, values: Mapping[str, Any]) -> Row[Any]:
    """Store a key; return its row."""
    return db.execute(insert(api_keys).values(values).returning(api_keys)).one()


def find_key(db: Connection, provider_id: int, key_id: str) -> Row[Any] | None:
    """Return the provider's key with this public part."""
    return db.execute(
        select(api_keys).where(
            api_keys.c.provider_id == provider_id, api_keys.c.key_id == key_id
        )
    ).first()


def find_key_with_provider(db: Connection, key_id: str) -> Row[Any] | None:
    """Return the key with this public part.

    Its row has the `provider_name`, and the `provider_job_id` of a job token.
    """
    return db.execute(
        select(
            api_keys, providers.c.name.label("provider_name"), jobs.c.provider_job_id
        )
        .join(providers, providers.c.id == api_keys.c.provider_id)
        .outerjoin(jobs, jobs.c.id == api_keys.c.job_id)
        .where(api_keys.c.key_id == key_id)
    ).first()


def list_keys(db: Connection, provider_id: int, span: Span) -> Page:
    """Return a page of the provider's keys, newest first."""
    query = select(api_keys).where(api_keys.c.provider_id == provider_id)
    return fetch_page(db, query, api_keys.c.id, span)


def expire_key(
    db: Connection, provider_id: int, key_id: str, *, now: datetime
) -> Row[Any] | None:
    """End a key now, unless it has ended; return it, None where there is none."""
    db.execute(
        update(api_keys)
        .where(
            api_keys.c.provider_id == provider_id,
            api_keys.c.key_id == key_id,
            or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now),
        )
        .values(expires_at=now)
    )
    return find_key(db, provider_id, key_id)


def note_key_use(db: Connection, key_id: str, *, now: datetime) -> None:
    """Remember that a key was used."""
    db.execute(
        update(api_keys).where(api_keys.c.key_id == key_id).values(last_used_at=now)
    )
