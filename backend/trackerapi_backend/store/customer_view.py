"""Queries on the customer view: latest metadata values and messages of a job.

"Latest" follows the order of (`occurred_at`, `event_id`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    and_,
    bindparam,
    delete,
    exists,
    insert,
    or_,
    select,
    update,
)

from trackerapi_backend.store.schema import customer_messages, customer_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Row

MAX_MESSAGES = 5
"""Maximum number of stored messages of a job; older messages are deleted."""

_values = customer_values.c
_messages = customer_messages.c

# The prefix `new_` avoids a collision of names: SQLAlchemy names the parameters of SET
# after the columns.
_new = {c.name: bindparam(f"new_{c.name}", type_=c.type) for c in customer_values.c}
_is_same_value = and_(
    _values.job_id == _new["job_id"],
    _values.tag == _new["tag"],
    _values.name == _new["name"],
)
# Events may arrive in any order: the conditions keep an older event from replacing the
# value of a later event. No race between update and insert: `find_reported_jobs()` has
# locked the job.
_replace_older = (
    update(customer_values)
    .where(
        _is_same_value,
        or_(
            _values.occurred_at < _new["occurred_at"],
            and_(
                _values.occurred_at == _new["occurred_at"],
                _values.event_id < _new["event_id"],
            ),
        ),
    )
    .values({name: _new[name] for name in ("value", "occurred_at", "event_id")})
)
_add_missing = insert(customer_values).from_select(
    list(_new),
    select(*_new.values()).where(
        ~exists(select(_values.job_id).where(_is_same_value).correlate(None))
    ),
)


def save_values(db: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store metadata values, except where the stored value is of a later event.

    Args:
        db: Connection in a transaction.
        rows: Rows of `customer_values`, at most one for each step and key.
    """
    given = [{f"new_{name}": value for name, value in row.items()} for row in rows]
    db.execute(_replace_older, given)
    db.execute(_add_missing, given)


def find_values(db: Connection, job_id: int) -> dict[str, dict[str, Any]]:
    """Return the latest values of a job, by step tag and metadata key."""
    query = select(_values.tag, _values.name, _values.value)
    found: dict[str, dict[str, Any]] = {}
    for tag, name, value in db.execute(query.where(_values.job_id == job_id)):
        found.setdefault(tag, {})[name] = value
    return found


def save_messages(
    db: Connection, job_id: int, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Store messages of new events; delete all but the latest `MAX_MESSAGES`.

    Args:
        db: Connection in a transaction.
        job_id: Job of the messages.
        rows: Rows of `customer_messages`.
    """
    db.execute(insert(customer_messages), rows)
    for row in find_messages(db, job_id)[MAX_MESSAGES:]:
        is_old = and_(_messages.job_id == job_id, _messages.event_id == row.event_id)
        db.execute(delete(customer_messages).where(is_old))


def find_messages(db: Connection, job_id: int) -> Sequence[Row[Any]]:
    """Return the messages of a job, latest first."""
    return db.execute(
        select(customer_messages)
        .where(_messages.job_id == job_id)
        .order_by(_messages.occurred_at.desc(), _messages.event_id.desc())
    ).all()
