"""SQL statements that the driver gets without SQLAlchemy's preparation.

SQLAlchemy needs more time to prepare a frequent statement than the engine needs to run
it. SQLAlchemy still manages the connections and transactions and translates the errors.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection


MAX_VALUES = 900
"""Maximum number of values of a statement: some SQLite builds accept only 999."""


def fetch(
    db: Connection, statement: str, values: tuple[Any, ...]
) -> Sequence[Sequence[Any]]:
    """Return the rows of a query with a `?` for each value."""
    return db.exec_driver_sql(_for_driver(db, statement), values).all()


def execute_many(
    db: Connection, statement: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Run a statement with a `?` for each value, once for each row of values.

    Raises:
        IntegrityError: If a row violates a constraint.
    """
    if rows:
        db.exec_driver_sql(_for_driver(db, statement), list(rows))


def insert_rows(
    db: Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows into a table of SQLite, many rows with each statement.

    The driver releases the interpreter lock for each statement, and other threads
    would make it wait once for each row.

    Raises:
        IntegrityError: If a row violates a constraint.
    """
    size = MAX_VALUES // len(columns)
    for first in range(0, len(rows), size):
        some = rows[first : first + size]
        statement = _insert_statement(table, tuple(columns), len(some))
        db.exec_driver_sql(statement, tuple(chain.from_iterable(some)))


@lru_cache(256)
def _insert_statement(table: str, columns: tuple[str, ...], count: int) -> str:
    row = f"({', '.join('?' for _column in columns)})"
    rows = ", ".join([row] * count)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {rows}"  # noqa: S608 -- names of the schema


@contextmanager
def savepoint(db: Connection, name: str) -> Iterator[None]:
    """Roll back the changes of the block if a row violates a constraint.

    After any other error the transaction must not commit.
    """
    db.exec_driver_sql(f"SAVEPOINT {name}")
    try:
        yield
    except IntegrityError:
        db.exec_driver_sql(f"ROLLBACK TO SAVEPOINT {name}")
        raise


def _for_driver(db: Connection, statement: str) -> str:
    """Return a statement with the parameter marks of the driver instead of `?`."""
    is_ready = db.dialect.paramstyle == "qmark"
    return statement if is_ready else statement.replace("?", "%s")
