"""Title and reference of a job, which the customer reads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision; stored jobs have neither title nor reference."""
    # `batch_alter_table()` would copy the whole table of jobs.
    op.add_column("jobs", sa.Column("title", sa.String(200)))
    op.add_column("jobs", sa.Column("reference", sa.String(100)))


def downgrade() -> None:
    """Revert this revision; delete all titles and references."""
    op.drop_column("jobs", "reference")
    op.drop_column("jobs", "title")
