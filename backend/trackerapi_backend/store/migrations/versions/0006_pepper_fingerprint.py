"""Fingerprint of the pepper, so that each command detects a foreign pepper file."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision; the next command with the pepper records the fingerprint."""
    op.create_table(
        "peppers",
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_peppers"),
    )


def downgrade() -> None:
    """Revert this revision."""
    op.drop_table("peppers")
