"""Frequent statements that bypass SQLAlchemy on both engines."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, IntegrityError

from trackerapi_backend.store import postgres_sql, sqlite_sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import msgspec
    from sqlalchemy import Connection


def is_postgres(db: Connection) -> bool:
    """Return whether the engine is PostgreSQL; otherwise it is SQLite."""
    return db.dialect.name == "postgresql"


def insert_rows(
    db: Connection,
    table: str,
    columns: Sequence[str],
    rows: Sequence[msgspec.Struct],
    on_conflict: str = "",
) -> None:
    """Insert rows into a table.

    Args:
        db: Connection in a transaction.
        table: Name of the table; its columns have no default but null.
        columns: Names of the columns: the first fields of the rows.
        rows: Objects with the columns as fields.
        on_conflict: Clause ON CONFLICT.

    Raises:
        IntegrityError: If a row violates a constraint; on PostgreSQL, the next
            statement raises it.
        DBAPIError: If the engine fails; on PostgreSQL, the next statement raises it.
    """
    if rows:
        insert = (postgres_sql if is_postgres(db) else sqlite_sql).insert_rows
        insert(db, table, columns, rows, on_conflict)


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
        sqlite_sql.fetch(db, statement)


def _send_queued(db: Connection) -> None:
    if is_postgres(db):
        postgres_sql.send_queued(db)
