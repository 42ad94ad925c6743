"""Failed units of a progress, and the maximum number of attempts at a step."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision; stored events have neither value."""
    # `batch_alter_table()` would copy the whole table of events.
    op.add_column("events", sa.Column("failed", sa.Float))
    op.add_column("events", sa.Column("max_attempts", sa.BigInteger))


def downgrade() -> None:
    """Revert this revision; delete all failed units and maximum numbers."""
    op.drop_column("events", "max_attempts")
    op.drop_column("events", "failed")
