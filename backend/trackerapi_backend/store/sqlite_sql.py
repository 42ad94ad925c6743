"""SQL statements on SQLite that bypass SQLAlchemy.

SQLAlchemy needs more time to prepare a frequent statement than SQLite needs to run the
statement. All functions raise the errors of SQLAlchemy.
"""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from trackerapi_backend.store.driver_errors import translate_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Connection

MAX_VALUES = 900
"""Maximum number of values of a statement: some SQLite builds accept only 999."""
_FAST_TYPES: dict[type, Callable[[Any], Any]] = {bool: int, bytes: bytearray}


def fetch(
    db: Connection, statement: str, values: Sequence[Any] = ()
) -> Sequence[Sequence[Any]]:
    """Return the rows of a statement with a `?` for each value.

    Raises:
        IntegrityError: If a row violates a constraint.
        DBAPIError: If the engine fails.
    """
    try:
        return driver_connection(db).execute(statement, values).fetchall()
    except sqlite3.Error as error:
        raise translate_error(error, statement, sqlite3.Error) from error


def execute_many(
    db: Connection, statement: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Run a statement once for each row of values; errors as `fetch()`."""
    if not rows:
        return
    try:
        driver_connection(db).executemany(statement, rows)
    except sqlite3.Error as error:
        raise translate_error(error, statement, sqlite3.Error) from error


def commit(db: Connection) -> None:
    """Commit the transaction that a statement BEGIN has begun.

    Raises:
        DBAPIError: If the engine fails.
    """
    # SQLAlchemy has a transaction too if it has run a statement.
    db.commit()
    if driver_connection(db).in_transaction:
        fetch(db, "COMMIT")


def insert_rows(
    db: Connection,
    table: str,
    columns: Sequence[str],
    rows: Sequence[msgspec.Struct],
    on_conflict: str = "",
) -> None:
    """Insert rows into a table, many rows with each statement.

    One statement for each row would be slow: the driver releases the interpreter lock
    for each statement, and then waits until another thread releases the lock. For the
    arguments and errors, see `driver_sql.insert_rows()`.
    """
    size = MAX_VALUES // len(columns)
    for first in range(0, len(rows), size):
        tuples = map(msgspec.structs.astuple, rows[first : first + size])
        by_column = zip(columns, zip(*tuples, strict=True), strict=False)
        # The driver needs ten times longer to bind None than to bind a number.
        given = {
            name: _bindable(values)
            for name, values in by_column
            if values.count(None) < len(values)
        }
        some = [*zip(*given.values(), strict=True)]
        statement = _insert(table, tuple(given), len(some), on_conflict)
        fetch(db, statement, tuple(chain.from_iterable(some)))


def _bindable(values: Sequence[Any]) -> Iterable[Any]:
    """Return equal values; if no value is null, of types that the driver binds fast."""
    convert = _FAST_TYPES.get(type(values[0]))
    return values if convert is None or None in values else map(convert, values)


@lru_cache(256)
def _insert(table: str, columns: tuple[str, ...], count: int, on_conflict: str) -> str:
    row = f"({', '.join('?' for _column in columns)})"
    rows = ", ".join([row] * count)
    names = ", ".join(columns)
    return f"INSERT INTO {table} ({names}) VALUES {rows} {on_conflict}"  # noqa: S608 -- names of the schema


def driver_connection(db: Connection) -> sqlite3.Connection:
    """Return the connection of the driver."""
    return db.connection.driver_connection  # type: ignore[return-value]
