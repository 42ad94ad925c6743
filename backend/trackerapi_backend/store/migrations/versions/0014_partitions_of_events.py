"""Partitions of the events on PostgreSQL, by ranges of job ids; SQLite is unchanged.

The table of the stored events becomes the first partition. Its rows are not copied:
PostgreSQL reads the table once to check the range. The events of later jobs are in a
partition for each month (see `store/partitions.py`), or in the default partition.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_FIRST = "events_first"
_INDEXES = (
    "pk_events",
    "uq_events_job_id_event_id",
    "ix_events_progress",
    "ix_events_status",
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A job id is the millisecond of the creation, then 12 bits of a counter or at random.
_COUNTER_BITS = 12
_MAX_ID = 2**53 - 1


def upgrade() -> None:
    """Apply this revision."""
    if op.get_bind().dialect.name != "postgresql":
        return
    end = _first_id_of_next_month()
    op.execute(f"ALTER TABLE events RENAME TO {_FIRST}")
    for index in _INDEXES:
        op.execute(f"ALTER INDEX {index} RENAME TO {index}_first")
    op.execute(f"CREATE TABLE events (LIKE {_FIRST}) PARTITION BY RANGE (job_id)")
    _add_constraints()
    # PostgreSQL reuses the indexes and the foreign key that the partition has already.
    op.execute(
        f"ALTER TABLE events ATTACH PARTITION {_FIRST}"
        f" FOR VALUES FROM (MINVALUE) TO ({end})"
    )
    op.execute("CREATE TABLE events_default PARTITION OF events DEFAULT")


def downgrade() -> None:
    """Revert this revision; copy all events into one table."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute("ALTER TABLE events RENAME TO events_partitioned")
    op.execute("CREATE TABLE events (LIKE events_partitioned)")
    op.execute("INSERT INTO events SELECT * FROM events_partitioned")
    op.execute("DROP TABLE events_partitioned")
    _add_constraints()


def _add_constraints() -> None:
    op.create_primary_key("pk_events", "events", ["job_id", "sequence"])
    op.create_unique_constraint(
        "uq_events_job_id_event_id", "events", ["job_id", "event_id"]
    )
    op.create_foreign_key("fk_events_job_id", "events", "jobs", ["job_id"], ["id"])
    op.create_index(
        "ix_events_progress",
        "events",
        ["job_id", "tag", "occurred_at", "event_id"],
        postgresql_where=sa.text("kind = 'progress'"),
    )
    op.create_index(
        "ix_events_status",
        "events",
        ["job_id", "occurred_at", "event_id"],
        postgresql_where=sa.text("kind NOT IN ('progress', 'info', 'heartbeat')"),
    )


def _first_id_of_next_month() -> str:
    """Return the first job id of the month after the later of now and the newest job.

    Returns:
        Limit of a partition in SQL: a number or `MAXVALUE`.
    """
    newest = op.get_bind().execute(sa.text("SELECT max(id) FROM jobs")).scalar() or 0
    if newest > _MAX_ID:
        # An early release could store such ids: put all ids into the first partition.
        return "MAXVALUE"
    created_at = _EPOCH + timedelta(milliseconds=newest >> _COUNTER_BITS)
    latest = max(created_at, datetime.now(UTC))
    month = (latest.replace(day=1) + timedelta(days=32)).replace(day=1)
    start = month.replace(hour=0, minute=0, second=0, microsecond=0)
    return str((start - _EPOCH) // timedelta(milliseconds=1) << _COUNTER_BITS)
