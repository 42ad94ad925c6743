"""Texts of job configurations for the customer, by language."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision; stored configurations have no texts."""
    op.add_column("job_configurations", sa.Column("texts", sa.Text))


def downgrade() -> None:
    """Revert this revision; delete all texts."""
    op.drop_column("job_configurations", "texts")
