"""SQL statements that go to PostgreSQL past SQLAlchemy and the cursors of psycopg.

See `LimitedConnection`. SQLAlchemy still manages the transactions, and errors are those
of SQLAlchemy.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from trackerapi_backend.store.postgres_connection import LimitedConnection, Value


def queue(db: Connection, statement: str, values: Sequence[Value] = ()) -> None:
    """Send a statement together with the next statement; see `LimitedConnection`."""
    driver_connection(db).queue(statement, values)


def fetch(
    db: Connection, statement: str, values: Sequence[Value]
) -> Sequence[Sequence[Any]]:
    """Return the rows of a query; see `LimitedConnection`.

    Raises:
        DBAPIError: If this statement or a queued statement fails.
    """
    with _translated_errors(statement):
        return driver_connection(db).fetch(statement, values)


def send_queued(db: Connection) -> None:
    """Send the queued statements.

    Raises:
        DBAPIError: If a statement fails.
    """
    with _translated_errors("queued statements"):
        driver_connection(db).send_queued()


def driver_connection(db: Connection) -> LimitedConnection:
    """Return the connection of the driver."""
    return db.connection.driver_connection  # type: ignore[return-value]


@contextmanager
def _translated_errors(statement: str) -> Iterator[None]:
    """Raise the errors of SQLAlchemy instead of those of the driver."""
    import psycopg  # missing without the extra `postgres`

    try:
        yield
    except psycopg.Error as error:
        raise DBAPIError.instance(
            statement, None, error, psycopg.Error, hide_parameters=True
        ) from error
