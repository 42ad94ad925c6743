"""Queries on fingerprints of the pepper; the store never has the pepper itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from trackerapi_backend.store.schema import peppers

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection


def find_peppers(db: Connection) -> frozenset[str]:
    """Return the fingerprints of the accepted peppers: none, one, or two."""
    return frozenset(db.execute(select(peppers.c.fingerprint)).scalars())


def record_peppers(db: Connection, fingerprints: Collection[str]) -> None:
    """Record the fingerprints of the accepted peppers in place of any others."""
    db.execute(delete(peppers))
    rows = [{"fingerprint": fingerprint} for fingerprint in fingerprints]
    db.execute(insert(peppers), rows)
