"""First schema: providers, customers, keys, jobs, events and share links."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply this revision."""
    _create_parties()
    _create_jobs()
    _create_events()


def downgrade() -> None:
    """Revert this revision; all data is lost."""
    for table in (
        "share_links",
        "events",
        "jobs",
        "job_configurations",
        "api_keys",
        "customers",
        "providers",
    ):
        op.drop_table(table)


def _create_parties() -> None:
    op.create_table(
        "providers",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_providers"),
    )
    op.create_table(
        "customers",
        sa.Column("id", _ID, nullable=False),
        sa.Column("provider_id", _ID, nullable=False),
        sa.Column("reference", sa.String(200)),
        sa.Column("name", sa.String(100)),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        _reference("customers", "provider_id", "providers"),
        sa.PrimaryKeyConstraint("id", name="pk_customers"),
        _unique("customers", "provider_id", "reference"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", _ID, nullable=False),
        sa.Column("key_id", sa.String(32), nullable=False),
        sa.Column("provider_id", _ID, nullable=False),
        sa.Column("label", sa.String(100), nullable=False),
        sa.Column("key_hmac", sa.LargeBinary(32), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("last_used_at", sa.BigInteger()),
        _reference("api_keys", "provider_id", "providers"),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        _unique("api_keys", "key_id"),
    )


def _create_jobs() -> None:
    op.create_table(
        "job_configurations",
        sa.Column("id", _ID, nullable=False),
        sa.Column("provider_id", _ID, nullable=False),
        sa.Column("tag", sa.String(100), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("version", sa.String(100)),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        _reference("job_configurations", "provider_id", "providers"),
        sa.PrimaryKeyConstraint("id", name="pk_job_configurations"),
        _unique("job_configurations", "provider_id", "tag", "revision"),
        _unique("job_configurations", "provider_id", "tag", "content_hash"),
    )
    _index("job_configurations", "provider_id", "name")
    op.create_table(
        "jobs",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("provider_id", _ID, nullable=False),
        sa.Column("provider_job_id", sa.String(200), nullable=False),
        sa.Column("customer_id", _ID, nullable=False),
        sa.Column("configuration_id", _ID),
        sa.Column("tag", sa.String(100), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("finish", sa.String(20), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        _reference("jobs", "provider_id", "providers"),
        _reference("jobs", "customer_id", "customers"),
        _reference("jobs", "configuration_id", "job_configurations"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        _unique("jobs", "provider_id", "provider_job_id"),
    )
    _index("jobs", "provider_id", "customer_id", "id")


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.LargeBinary(16), nullable=False),
        sa.Column("kind", sa.String(100), nullable=False),
        sa.Column("tag", sa.String(100)),
        sa.Column("event_metadata", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("completed", sa.Float()),
        sa.Column("total", sa.Float()),
        sa.Column("fraction", sa.Float()),
        sa.Column("retrying", sa.Boolean(), nullable=False),
        sa.Column("message", sa.Text()),
        sa.Column("detail", sa.Text()),
        _reference("events", "job_id", "jobs"),
        sa.PrimaryKeyConstraint("job_id", "sequence", name="pk_events"),
        _unique("events", "job_id", "event_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "share_links",
        sa.Column("id", _ID, nullable=False),
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("token_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger()),
        _reference("share_links", "job_id", "jobs"),
        sa.PrimaryKeyConstraint("id", name="pk_share_links"),
        _unique("share_links", "token_hash"),
    )
    _index("share_links", "job_id")


def _reference(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_{column}"
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=name)


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=f"uq_{table}_{'_'.join(columns)}")


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))
