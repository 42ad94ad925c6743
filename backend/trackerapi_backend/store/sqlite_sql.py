"""SQL statements that go to SQLite past SQLAlchemy.

SQLAlchemy needs more time to prepare a frequent statement than the engine needs to run
it. SQLAlchemy still manages the transactions, and errors are those of SQLAlchemy.
"""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from trackerapi_backend.store.driver_errors import translated_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

MAX_VALUES = 900
"""Maximum number of values of a statement: some SQLite builds accept only 999."""


def fetch(
    db: Connection, statement: str, values: Sequence[Any] = ()
) -> Sequence[Sequence[Any]]:
    """Return the rows of a statement with a `?` for each value; none without rows.

    Raises:
        IntegrityError: If a row violates a constraint.
        DBAPIError: If the engine fails.
    """
    with translated_errors(statement, sqlite3.Error):
        return driver_connection(db).execute(statement, values).fetchall()


def execute_many(
    db: Connection, statement: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Run a statement once for each row of values; errors as `fetch()`."""
    if rows:
        with translated_errors(statement, sqlite3.Error):
            driver_connection(db).executemany(statement, rows)


def insert_rows(
    db: Connection,
    table: str,
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    on_conflict: str = "",
) -> None:
    """Insert rows into a table, many rows with each statement.

    The driver releases the interpreter lock for each statement, and other threads
    would make it wait once for each row.

    Args:
        db: Connection in a transaction.
        table: Name of the table.
        columns: Names of the columns.
        rows: Values of the columns.
        on_conflict: Clause ON CONFLICT.

    Raises:
        IntegrityError: If a row violates a constraint.
        DBAPIError: If the engine fails.
    """
    size = MAX_VALUES // len(columns)
    for first in range(0, len(rows), size):
        some = rows[first : first + size]
        statement = _insert(table, tuple(columns), len(some), on_conflict)
        fetch(db, statement, tuple(chain.from_iterable(some)))


@lru_cache(256)
def _insert(table: str, columns: tuple[str, ...], count: int, on_conflict: str) -> str:
    row = f"({', '.join('?' for _column in columns)})"
    rows = ", ".join([row] * count)
    names = ", ".join(columns)
    return f"INSERT INTO {table} ({names}) VALUES {rows} {on_conflict}"  # noqa: S608 -- names of the schema


def driver_connection(db: Connection) -> sqlite3.Connection:
    """Return the connection of the driver."""
    return db.connection.driver_connection  # type: ignore[return-value]
