"""Tables of the customer view, filled from the stored events."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic import op

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MAX_MESSAGES = 5
_CLOCK_TOLERANCE_MICROS = 5 * 60 * 1_000_000


def upgrade() -> None:
    """Apply this revision."""
    values, messages = _create_values(), _create_messages()
    db = op.get_bind()
    jobs = db.exec_driver_sql(
        "SELECT jobs.id, job_configurations.document FROM jobs"
        " LEFT JOIN job_configurations ON job_configurations.id = configuration_id"
    ).all()
    for job_id, document in jobs:
        newest = _newest_values(db, job_id, _customer_keys(document))
        if newest:
            db.execute(sa.insert(values), newest)
        latest = list(_newest_messages(db, job_id))
        if latest:
            db.execute(sa.insert(messages), latest)


def downgrade() -> None:
    """Revert this revision; no data is lost: the tables are derived from the events."""
    op.drop_table("customer_messages")
    op.drop_table("customer_values")


def _create_values() -> sa.Table:
    return op.create_table(
        "customer_values",
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("tag", sa.String(100), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.LargeBinary(16), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_customer_values_job_id"
        ),
        sa.PrimaryKeyConstraint("job_id", "tag", "name", name="pk_customer_values"),
        sqlite_with_rowid=False,
    )


def _create_messages() -> sa.Table:
    return op.create_table(
        "customer_messages",
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("event_id", sa.LargeBinary(16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("shown_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_customer_messages_job_id"
        ),
        sa.PrimaryKeyConstraint("job_id", "event_id", name="pk_customer_messages"),
        sqlite_with_rowid=False,
    )


def _customer_keys(document: str | None) -> set[tuple[str, str]]:
    """Return step tag and name of each metadata key with the audience `customer`."""
    steps = json.loads(document)["step_configurations"] if document else []
    return {
        (step["tag"], key["name"])
        for step in steps
        for key in step.get("metadata_configurations", ())
        if key.get("audience") == "customer"
    }


def _newest_values(
    db: Connection, job_id: int, keys: set[tuple[str, str]]
) -> list[dict[str, Any]]:
    if not keys:
        return []
    rows = db.execute(
        sa.text(
            "SELECT tag, event_metadata, occurred_at, event_id FROM events"
            " WHERE job_id = :job AND tag IS NOT NULL AND event_metadata != '{}'"
        ),
        {"job": job_id},
    )
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for tag, metadata, occurred_at, event_id in rows:
        at = {"occurred_at": occurred_at, "event_id": bytes(event_id)}
        for name, value in json.loads(metadata).items():
            known = newest.get((tag, name))
            is_newer = known is None or (
                (known["occurred_at"], known["event_id"]) < (occurred_at, event_id)
            )
            if (tag, name) in keys and is_newer:
                text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
                value_of = {"job_id": job_id, "tag": tag, "name": name, "value": text}
                newest[tag, name] = value_of | at
    return list(newest.values())


def _newest_messages(db: Connection, job_id: int) -> Iterator[dict[str, Any]]:
    rows = db.execute(
        sa.text(
            "SELECT event_id, message, occurred_at, received_at FROM events"
            " WHERE job_id = :job AND message IS NOT NULL"
            " ORDER BY occurred_at DESC, event_id DESC LIMIT :most"
        ),
        {"job": job_id, "most": _MAX_MESSAGES},
    )
    for event_id, message, occurred_at, received_at in rows:
        is_ahead = occurred_at - received_at > _CLOCK_TOLERANCE_MICROS
        yield {
            "job_id": job_id,
            "event_id": event_id,
            "message": message,
            "occurred_at": occurred_at,
            "shown_at": received_at if is_ahead else occurred_at,
        }
