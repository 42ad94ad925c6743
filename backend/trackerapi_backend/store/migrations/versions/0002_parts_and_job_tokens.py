"""Parts that count towards a step, and job tokens: keys that are bound to one job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply this revision."""
    # `batch_alter_table()` would copy the whole table of events.
    op.add_column("events", sa.Column("part", sa.String(100)))
    with op.batch_alter_table("api_keys") as keys:
        keys.add_column(sa.Column("job_id", _ID))
        keys.create_foreign_key("fk_api_keys_job_id", "jobs", ["job_id"], ["id"])


def downgrade() -> None:
    """Revert this revision; delete job tokens, which would be valid for all jobs."""
    op.execute("DELETE FROM api_keys WHERE job_id IS NOT NULL")
    with op.batch_alter_table("api_keys") as keys:
        keys.drop_constraint("fk_api_keys_job_id", type_="foreignkey")
        keys.drop_column("job_id")
    op.drop_column("events", "part")
