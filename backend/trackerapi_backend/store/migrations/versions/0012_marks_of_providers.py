"""Mark of a provider: a small image, and its hash."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision; stored providers have no mark."""
    op.add_column("providers", sa.Column("mark", sa.LargeBinary))
    op.add_column("providers", sa.Column("mark_hash", sa.String(16)))
    op.create_index("ix_providers_mark_hash", "providers", ["mark_hash"])


def downgrade() -> None:
    """Revert this revision; delete all marks."""
    op.drop_index("ix_providers_mark_hash", "providers")
    op.drop_column("providers", "mark_hash")
    op.drop_column("providers", "mark")
