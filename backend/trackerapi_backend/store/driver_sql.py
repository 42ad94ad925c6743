"""SQL statements that the driver gets without SQLAlchemy's preparation.

SQLAlchemy needs more time to prepare a frequent statement than the engine needs to run
it. SQLAlchemy still manages the connections and transactions and translates the errors.
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
