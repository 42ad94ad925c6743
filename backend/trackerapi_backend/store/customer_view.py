"""Queries on the customer view: latest metadata values and messages of a job.

"Latest" follows the order of (`occurred_at`, `event_id`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select

from trackerapi_backend.store import postgres_sql
from trackerapi_backend.store.driver_sql import insert_rows, is_postgres
from trackerapi_backend.store.schema import customer_messages, customer_values
from trackerapi_backend.store.sqlite_sql import execute_many

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row

MAX_MESSAGES = 5
"""Maximum number of stored messages of a job; older messages are deleted."""

_values = customer_values.c
_messages = customer_messages.c


class CustomerValue(msgspec.Struct, gc=False):
    """Row of `customer_values`, in the order of the columns.

    Attributes:
        value: Value as JSON text.
    """

    job_id: int
    tag: str
    name: str
    value: str
    occurred_at: int
    event_id: bytes


class CustomerMessage(msgspec.Struct, gc=False):
    """Row of `customer_messages`, in the order of the columns."""

    job_id: int
    event_id: bytes
    message: str
    occurred_at: int
    shown_at: int


# Events may arrive in any order: the condition keeps an older event from replacing the
# value of a later event.
_REPLACE_OLDER = (
    "ON CONFLICT (job_id, tag, name) DO UPDATE SET value = excluded.value,"
    " occurred_at = excluded.occurred_at, event_id = excluded.event_id"
    " WHERE (customer_values.occurred_at, customer_values.event_id)"
    " < (excluded.occurred_at, excluded.event_id)"
)
_OLDER_THAN_LATEST = f"""
event_id NOT IN (
    SELECT event_id FROM customer_messages AS latest WHERE latest.job_id = old.job_id
    ORDER BY occurred_at DESC, event_id DESC LIMIT {MAX_MESSAGES}
)
"""  # noqa: S608 -- constants
_DELETE_OLD = (
    f"DELETE FROM customer_messages AS old WHERE job_id = ? AND {_OLDER_THAN_LATEST}"  # noqa: S608 -- constants
)
_DELETE_OLD_TOGETHER = (
    "DELETE FROM customer_messages AS old USING unnest($1::bigint[]) AS given (job_id)"  # noqa: S608 -- constants
    f" WHERE old.job_id = given.job_id AND {_OLDER_THAN_LATEST}"
)


def save_values(db: Connection, rows: Sequence[CustomerValue]) -> None:
    """Store metadata values, except where the stored value is of a later event.

    Args:
        db: Connection in a transaction.
        rows: Values, at most one for each job, step and key.
    """
    columns = CustomerValue.__struct_fields__
    insert_rows(db, "customer_values", columns, rows, _REPLACE_OLDER)


def save_messages(db: Connection, rows: Sequence[CustomerMessage]) -> None:
    """Store messages of new events; delete all but the latest `MAX_MESSAGES` of a job.

    Args:
        db: Connection in a transaction.
        rows: Messages of any jobs.
    """
    insert_rows(db, "customer_messages", CustomerMessage.__struct_fields__, rows)
    job_ids = list(dict.fromkeys(row.job_id for row in rows))
    if is_postgres(db):
        postgres_sql.queue(db, _DELETE_OLD_TOGETHER, [job_ids])
    else:
        execute_many(db, _DELETE_OLD, [(job_id,) for job_id in job_ids])


def find_values(db: Connection, job_id: int) -> dict[str, dict[str, Any]]:
    """Return the latest values of a job, by step tag and metadata key."""
    query = select(_values.tag, _values.name, _values.value)
    found: dict[str, dict[str, Any]] = {}
    for tag, name, value in db.execute(query.where(_values.job_id == job_id)):
        found.setdefault(tag, {})[name] = value
    return found


def find_messages(db: Connection, job_id: int) -> Sequence[Row[Any]]:
    """Return the messages of a job, latest first."""
    return db.execute(
        select(customer_messages)
        .where(_messages.job_id == job_id)
        .order_by(_messages.occurred_at.desc(), _messages.event_id.desc())
    ).all()
