"""Indexes of events for the fold of the statuses after a late event."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_IS_PROGRESS = sa.text("kind = 'progress'")
_IS_STATUS_EVENT = sa.text("kind NOT IN ('progress', 'info', 'heartbeat')")


def upgrade() -> None:
    """Apply this revision."""
    op.create_index(
        "ix_events_progress",
        "events",
        ["job_id", "tag", "occurred_at", "event_id"],
        sqlite_where=_IS_PROGRESS,
        postgresql_where=_IS_PROGRESS,
    )
    op.create_index(
        "ix_events_status",
        "events",
        ["job_id", "occurred_at", "event_id"],
        sqlite_where=_IS_STATUS_EVENT,
        postgresql_where=_IS_STATUS_EVENT,
    )


def downgrade() -> None:
    """Revert this revision."""
    op.drop_index("ix_events_status", "events")
    op.drop_index("ix_events_progress", "events")
