"""Statements that go to the driver as they are written.

SQLAlchemy needs more time to prepare a frequent statement than the engine needs to run
it. These functions leave out the preparation, and keep connections, transactions and
the translation of errors.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection


def fetch(
    db: Connection, statement: str, values: tuple[Any, ...]
) -> Sequence[Sequence[Any]]:
    """Return the rows of a query with a `?` for each value."""
    return db.exec_driver_sql(_marked(db, statement), values).all()


def execute_many(
    db: Connection, statement: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Run a statement with a `?` for each value, once for each row of values.

    Raises:
        IntegrityError: If a row violates a constraint.
    """
    if rows:
        db.exec_driver_sql(_marked(db, statement), list(rows))


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


def _marked(db: Connection, statement: str) -> str:
    is_marked = db.dialect.paramstyle == "qmark"
    return statement if is_marked else statement.replace("?", "%s")
