"""Queries on providers: the organisations that run jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from trackerapi_backend.store.schema import providers

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection


def create_provider(db: Connection, name: str, *, now: datetime) -> int:
    """Store a provider; return its id."""
    stored = insert(providers).values(name=name, created_at=now)
    return int(db.execute(stored.returning(providers.c.id)).scalar_one())


def find_provider(db: Connection, name: str | None) -> int | None:
    """Return the id of the oldest provider, or of the oldest provider with this name.

    Args:
        db: Connection to read from.
        name: Name of the provider; None for any name.

    Returns:
        The id; None if there is no such provider.
    """
    query = select(providers.c.id).order_by(providers.c.id)
    if name is not None:
        query = query.where(providers.c.name == name)
    return db.execute(query).scalar()


def find_provider_name(db: Connection, provider_id: int) -> str:
    """Return the name of an existing provider."""
    query = select(providers.c.name).where(providers.c.id == provider_id)
    return str(db.execute(query).scalar_one())
