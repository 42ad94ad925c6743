"""Consistent copies of a SQLite database, and the check of a copy."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trackerapi_backend.store import StoreError, sqlite_sql
from trackerapi_backend.store.driver_errors import translate_error
from trackerapi_backend.store.erasure import visible_counts
from trackerapi_backend.store.health import find_damage
from trackerapi_backend.store.migrations import (
    current_revision,
    is_newer,
    newer_release_error,
)
from trackerapi_backend.store.peppers import find_peppers
from trackerapi_backend.store.sqlite_reading import SqliteReader

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

PAGES_PER_STEP = 1000
"""Pages per step of a copy: Python handles signals such as Ctrl-C between steps."""

# SQLite codes of errors in the source; other errors concern the target.
_SOURCE_ERRORS = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Summary of an undamaged database.

    Attributes:
        schema: Revision of the schema.
        peppers: Fingerprints of the accepted peppers; empty in a schema
            before 0006, which has no table of peppers.
        counts: Number of rows of each table.
        visible_counts: The same without the hidden provider of erasures.
    """

    schema: str
    peppers: frozenset[str]
    counts: dict[str, int]
    visible_counts: dict[str, int]

    @property
    def has_keys(self) -> bool:
        """Whether the database has API keys, which need a pepper."""
        return self.counts.get("api_keys", 0) > 0


def copy_database(source: SqliteReader, target: Path) -> dict[str, int]:
    """Copy one snapshot of a database; return the number of rows of each table.

    A server may write during the copy: neither the copy nor the server waits.

    Args:
        source: Database of any schema.
        target: Empty file that no other process uses. The copy is not synced to the
            disk.

    Raises:
        StoreError: If the database cannot be read, or the file cannot be written.
    """

    def copy(db: Connection) -> dict[str, int]:
        # This query opens a transaction, which keeps one snapshot. Without the
        # transaction, SQLite would restart the copy after each write of the server.
        counts = _count_rows(db)
        with closing(sqlite3.connect(target, isolation_level=None)) as file:
            # No crash safety: after a crash, the next backup makes a new copy.
            file.execute("PRAGMA journal_mode=OFF")
            file.execute("PRAGMA synchronous=OFF")
            try:
                sqlite_sql.driver_connection(db).backup(
                    file, pages=PAGES_PER_STEP, progress=_handle_signals
                )
            except sqlite3.Error as error:
                if error.sqlite_errorcode & 0xFF not in _SOURCE_ERRORS:
                    raise StoreError(
                        f"{target} cannot be written ({error}): make space on its disk,"
                        " or name a file in another folder"
                    ) from None
                raise translate_error(error, "backup", sqlite3.Error) from error
        return counts

    return source.read(copy)


def _handle_signals(*_progress: int) -> None:
    """Do nothing: during the call, Python handles pending signals."""


def inspect_copy(
    path: Path, name: str, advice: str = "name another database, or restore a backup"
) -> Contents:
    """Check that a file is an undamaged database; return its contents.

    Args:
        path: File that no process writes.
        name: Name of the file for messages.
        advice: Fix of a damaged or foreign file, for messages.

    Raises:
        StoreError: If the file is damaged, or is not a database of this or an earlier
            release.
    """
    reader = SqliteReader(path, name=name, is_fixed=True, damage_advice=advice)
    with closing(reader):
        return reader.read(lambda db: _inspect(db, name, advice))


def _inspect(db: Connection, name: str, advice: str) -> Contents:
    damage = find_damage(db, is_thorough=True)
    if damage is not None:
        raise StoreError(f"{name} is damaged ({damage}): {advice}")
    schema = current_revision(db)
    if schema is None:
        raise StoreError(f"{name} is not a database of trackerapi-backend: {advice}")
    if is_newer(schema):
        raise newer_release_error(name, f"schema {schema}")
    counts = _count_rows(db)
    # A schema before 0006 has no table of peppers.
    peppers = find_peppers(db) if "peppers" in counts else frozenset[str]()
    return Contents(
        schema=schema,
        peppers=peppers,
        counts=counts,
        visible_counts=visible_counts(db, counts),
    )


def _count_rows(db: Connection) -> dict[str, int]:
    """Return the number of rows of each table that the database has."""
    names = db.exec_driver_sql(
        "SELECT name FROM sqlite_master"
        " WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
    ).scalars()
    return {
        name: int(db.exec_driver_sql(f'SELECT count(*) FROM "{name}"').scalar_one())  # noqa: S608 -- names of the schema
        for name in names.all()
    }
