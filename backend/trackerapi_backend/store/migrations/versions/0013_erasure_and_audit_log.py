"""Erased jobs, audit log, ages of retention, creators of links, peppers of keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Apply this revision; `created_by` is null for the stored share links."""
    op.add_column("providers", sa.Column("retention_days", sa.Integer))
    op.add_column("api_keys", sa.Column("pepper", sa.String(64)))
    op.create_index("ix_api_keys_job_id", "api_keys", ["job_id"])
    op.create_index("ix_api_keys_created_by", "api_keys", ["created_by"])
    op.add_column("share_links", sa.Column("created_by", sa.String(32)))
    op.create_index("ix_share_links_created_by", "share_links", ["created_by"])
    op.create_index("ix_jobs_customer_id", "jobs", ["customer_id"])
    op.create_table(
        "erased_jobs",
        sa.Column("provider_id", _Id, nullable=False),
        sa.Column("name_hmac", sa.LargeBinary(32), nullable=False),
        sa.Column("erased_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["provider_id"], ["providers.id"], name="fk_erased_jobs_provider_id"
        ),
        sa.PrimaryKeyConstraint("provider_id", "name_hmac", name="pk_erased_jobs"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit_log",
        sa.Column("id", _Id, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("provider_id", _Id),
        sa.Column("key_id", sa.String(32)),
        sa.Column("action", sa.String(50), nullable=False),
        sa.Column("job_id", sa.BigInteger),
        sa.Column("customer_id", sa.BigInteger),
        sa.Column("details", sa.Text),
        sa.ForeignKeyConstraint(
            ["provider_id"], ["providers.id"], name="fk_audit_log_provider_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_provider_id_id", "audit_log", ["provider_id", "id"])
    op.create_index("ix_audit_log_job_id", "audit_log", ["job_id"])
    op.create_index("ix_audit_log_customer_id", "audit_log", ["customer_id"])


def downgrade() -> None:
    """Revert this revision; delete the audit log and the list of erased jobs."""
    op.drop_table("audit_log")
    op.drop_table("erased_jobs")
    op.drop_index("ix_jobs_customer_id", "jobs")
    op.drop_index("ix_share_links_created_by", "share_links")
    op.drop_column("share_links", "created_by")
    op.drop_index("ix_api_keys_created_by", "api_keys")
    op.drop_index("ix_api_keys_job_id", "api_keys")
    op.drop_column("api_keys", "pepper")
    op.drop_column("providers", "retention_days")
