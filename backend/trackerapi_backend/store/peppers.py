"""Queries on the fingerprint of the pepper; the store never has the pepper itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from trackerapi_backend.store.schema import peppers

if TYPE_CHECKING:
    from sqlalchemy import Connection


def find_pepper(db: Connection) -> str | None:
    """Return the fingerprint of the pepper of all keys; None if none is recorded."""
    return db.execute(select(peppers.c.fingerprint)).scalar_one_or_none()


def record_pepper(db: Connection, fingerprint: str) -> None:
    """Record the fingerprint of the pepper in place of any other fingerprint."""
    db.execute(delete(peppers))
    db.execute(insert(peppers).values(fingerprint=fingerprint))
