"""Queries on providers: the organisations that run jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from trackerapi_backend.store.schema import providers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Row


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


def get_profile(db: Connection, provider_id: int) -> Row[Any]:
    """Return the row of an existing provider, which has its name and its profile."""
    return db.execute(select(providers).where(providers.c.id == provider_id)).one()


def update_profile(
    db: Connection, provider_id: int, changes: Mapping[str, Any]
) -> Row[Any]:
    """Change the profile of an existing provider; return the row of the provider."""
    if changes:
        db.execute(
            update(providers).where(providers.c.id == provider_id).values(changes)
        )
    return get_profile(db, provider_id)
