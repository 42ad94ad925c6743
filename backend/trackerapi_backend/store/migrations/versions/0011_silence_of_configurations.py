"""Age of the newest report from which the jobs of a configuration are silent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision; stored configurations have no age of their own."""
    op.add_column("job_configurations", sa.Column("silent_after", sa.Integer))


def downgrade() -> None:
    """Revert this revision; delete all ages."""
    op.drop_column("job_configurations", "silent_after")
