"""Queries on providers: the organisations that run jobs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from trackerapi_backend.store.audit_log import record_change
from trackerapi_backend.store.changes import note_profile
from trackerapi_backend.store.erasure import ERASED
from trackerapi_backend.store.ids import PROVIDER_IDS
from trackerapi_backend.store.schema import providers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

_PROFILE = select(*(each for each in providers.c if each is not providers.c.mark))


def create_provider(db: Connection, name: str, *, now: datetime) -> int:
    """Store a provider, and an entry of the audit log; return the provider's id.

    The first provider of a database has the id 1. Later ids do not reveal the number of
    providers.
    """
    is_first = find_provider(db, None) is None
    provider_id = 1 if is_first else PROVIDER_IDS.make(db, now=now)
    db.execute(insert(providers).values(id=provider_id, name=name, created_at=now))
    # Only commands create providers.
    record_change(db, provider_id=provider_id, key_id=None, action="create_provider")
    return provider_id


def find_provider(db: Connection, name: str | None) -> int | None:
    """Return the id of the oldest provider, or of the oldest provider with this name.

    Args:
        db: Connection to read from.
        name: Name of the provider; None for any name.

    Returns:
        The id; None if there is no such provider.
    """
    query = select(providers.c.id).where(providers.c.id != ERASED)
    query = query.order_by(providers.c.id)
    if name is not None:
        query = query.where(providers.c.name == name)
    return db.execute(query).scalar()


def list_providers(db: Connection) -> Sequence[Row[Any]]:
    """Return the rows of `get_profile()` for all providers, oldest provider first."""
    query = _PROFILE.where(providers.c.id != ERASED).order_by(providers.c.id)
    return db.execute(query).all()


def get_profile(db: Connection, provider_id: int) -> Row[Any]:
    """Return the name and the profile of an existing provider, as a row.

    The row has the hash of the mark in place of the mark: each page reads the row.
    """
    return db.execute(_PROFILE.where(providers.c.id == provider_id)).one()


def find_mark(db: Connection, mark_hash: str) -> bytes | None:
    """Return the mark with a hash; None for an unknown hash."""
    query = select(providers.c.mark).where(providers.c.mark_hash == mark_hash)
    mark: bytes | None = db.execute(query.limit(1)).scalar()
    return mark


def update_profile(
    db: Connection,
    provider_id: int,
    changes: Mapping[str, Any],
    *,
    caller_key_id: str | None,
) -> Row[Any]:
    """Change the profile of an existing provider; return the row of the provider.

    A change gets an entry of the audit log, with the names of the changed members.

    Args:
        db: Connection in a transaction.
        provider_id: Id of the provider.
        changes: New values by the names of their columns.
        caller_key_id: Public part of the key that makes the change; None for a command.
    """
    values = dict(changes)
    if "mark" in values:
        values["mark_hash"] = _hash_of(values["mark"])
    if values:
        db.execute(
            update(providers).where(providers.c.id == provider_id).values(values)
        )
        note_profile(db, provider_id)
        record_change(
            db,
            provider_id=provider_id,
            key_id=caller_key_id,
            action="update_provider_profile",
            details={"members": sorted(changes)},
        )
    return get_profile(db, provider_id)


def set_retention(
    db: Connection, provider_id: int, days: int | None, *, caller_key_id: str | None
) -> None:
    """Set the age from which ended jobs of a provider are deleted.

    Args:
        db: Connection in a transaction.
        provider_id: Id of the provider.
        days: Age in days; None for jobs that stay for ever.
        caller_key_id: Public part of the key that makes the change; None for a command.
    """
    chosen = update(providers).where(providers.c.id == provider_id)
    db.execute(chosen.values(retention_days=days))
    record_change(
        db,
        provider_id=provider_id,
        key_id=caller_key_id,
        action="set_retention",
        details={"retention_days": days},
    )


def _hash_of(mark: bytes | None) -> str | None:
    return None if mark is None else hashlib.sha256(mark).hexdigest()[:16]
