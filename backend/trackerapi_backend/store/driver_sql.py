"""SQL statements that the driver gets without SQLAlchemy's preparation.

SQLAlchemy needs more time to prepare a frequent statement than the engine needs to run
it. SQLAlchemy still manages the connections and transactions and translates the errors.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError, IntegrityError

from trackerapi_backend.store import postgres_sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

MAX_VALUES = 900
"""Maximum number of values of a statement: some SQLite builds accept only 999."""


def execute_many(
    db: Connection, statement: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Run a statement of SQLite with a `?` for each value, once for each row.

    Raises:
        IntegrityError: If a row violates a constraint.
    """
    if rows:
        db.exec_driver_sql(statement, list(rows))


def insert_rows(
    db: Connection,
    table: str,
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    on_conflict: str = "",
) -> None:
    """Insert rows into a table of SQLite, many rows with each statement.

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
    """
    size = MAX_VALUES // len(columns)
    for first in range(0, len(rows), size):
        some = rows[first : first + size]
        statement = _insert(table, tuple(columns), len(some), on_conflict)
        db.exec_driver_sql(statement, tuple(chain.from_iterable(some)))


@lru_cache(256)
def _insert(table: str, columns: tuple[str, ...], count: int, on_conflict: str) -> str:
    row = f"({', '.join('?' for _column in columns)})"
    rows = ", ".join([row] * count)
    names = ", ".join(columns)
    return f"INSERT INTO {table} ({names}) VALUES {rows} {on_conflict}"  # noqa: S608 -- names of the schema


def is_postgres(db: Connection) -> bool:
    """Return whether the engine is PostgreSQL; otherwise it is SQLite."""
    return db.dialect.name == "postgresql"


@contextmanager
def savepoint(db: Connection, name: str) -> Iterator[None]:
    """Roll back the changes of the block if it raises.

    After an error of the engine other than IntegrityError, the transaction is broken:
    it must not commit.
    """
    _send(db, f"SAVEPOINT {name}")
    try:
        yield
        _send(db, f"RELEASE SAVEPOINT {name}")
        _send_queued(db)
    except Exception as error:
        if not isinstance(error, DBAPIError) or isinstance(error, IntegrityError):
            with suppress(IntegrityError):
                _send_queued(db)
            _send(db, f"ROLLBACK TO SAVEPOINT {name}")
        raise


def _send(db: Connection, statement: str) -> None:
    # With a cursor of psycopg, ROLLBACK TO would drop all plans of the session.
    if is_postgres(db):
        postgres_sql.queue(db, statement)
    else:
        db.exec_driver_sql(statement)


def _send_queued(db: Connection) -> None:
    if is_postgres(db):
        postgres_sql.send_queued(db)
