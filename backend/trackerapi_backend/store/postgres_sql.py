"""SQL statements on PostgreSQL that bypass SQLAlchemy and the cursors of psycopg.

See `LimitedConnection`. SQLAlchemy still manages the transactions, and all functions
raise the errors of SQLAlchemy.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from trackerapi_backend.store.driver_errors import translate_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from trackerapi_backend.store.postgres_connection import LimitedConnection, Value

SCHEMA_KEY = 0x747261636B657232
"""Key of the advisory lock of the schema, which is "tracker2" in ASCII.

All transactions share this lock, except those that change the schema."""
LOCK_SCHEMA = f"SELECT pg_advisory_xact_lock({SCHEMA_KEY})"

_encode_json = msgspec.json.Encoder().encode
# JSON has an `event_id` as a text in base64.
_EVENT_ID = "decode(encode(event_id, 'escape'), 'base64')"


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
    driver = driver_connection(db)
    try:
        return driver.fetch(statement, values)
    except driver.Error as error:
        raise translate_error(error, statement, driver.Error) from error


def insert_rows(
    db: Connection,
    table: str,
    columns: Sequence[str],
    rows: Sequence[msgspec.Struct],
    on_conflict: str = "",
) -> None:
    """Queue an INSERT of rows.

    The rows travel as one JSON text: COPY would cost this process three times the CPU
    time, and the server about the same. For the arguments and errors, see
    `driver_sql.insert_rows()`.
    """
    statement = _insert(table, tuple(columns), on_conflict)
    queue(db, statement, [_encode_json(rows)])


@cache
def _insert(table: str, columns: tuple[str, ...], on_conflict: str) -> str:
    names = ", ".join(columns)
    given = names.replace("event_id", _EVENT_ID)
    return (
        f"INSERT INTO {table} ({names}) SELECT {given}"  # noqa: S608 -- names of the schema
        f" FROM json_populate_recordset(NULL::{table}, $1::json) {on_conflict}"
    )


def send_queued(db: Connection) -> None:
    """Send the queued statements.

    Raises:
        DBAPIError: If a statement fails.
    """
    driver = driver_connection(db)
    try:
        driver.send_queued()
    except driver.Error as error:
        raise translate_error(error, "queued statements", driver.Error) from error


def driver_connection(db: Connection) -> LimitedConnection:
    """Return the connection of the driver."""
    return db.connection.driver_connection  # type: ignore[return-value]
