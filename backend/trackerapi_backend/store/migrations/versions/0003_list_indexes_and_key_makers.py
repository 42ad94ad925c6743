"""Indexes for every list, and the column `created_by` of keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# One index for each set of equality filters of a list, in the order of the list.
_INDEXES = (
    ("api_keys", "provider_id", "id"),
    ("customers", "provider_id", "id"),
    ("job_configurations", "provider_id", "id"),
    ("job_configurations", "provider_id", "tag", "id"),
    ("job_configurations", "provider_id", "version", "id"),
    ("job_configurations", "provider_id", "tag", "version", "id"),
    ("jobs", "provider_id", "created_at", "id"),
    ("jobs", "provider_id", "id", "created_at"),
    ("jobs", "provider_id", "customer_id", "id", "created_at"),
    ("jobs", "provider_id", "tag", "id", "created_at"),
    ("jobs", "provider_id", "status", "id", "created_at"),
    ("jobs", "provider_id", "customer_id", "tag", "id", "created_at"),
    ("jobs", "provider_id", "customer_id", "status", "id", "created_at"),
    ("jobs", "provider_id", "tag", "status", "id", "created_at"),
    ("jobs", "provider_id", "customer_id", "tag", "status", "id", "created_at"),
)
_REPLACED = ("jobs", "provider_id", "customer_id", "id")


def upgrade() -> None:
    """Apply this revision."""
    # `batch_alter_table()` would copy the whole table of keys.
    op.add_column("api_keys", sa.Column("created_by", sa.String(32)))
    op.drop_index(_name(_REPLACED), _REPLACED[0])
    for index in _INDEXES:
        _create(index)


def downgrade() -> None:
    """Revert this revision; the values of `created_by` are lost."""
    for index in _INDEXES:
        op.drop_index(_name(index), index[0])
    _create(_REPLACED)
    op.drop_column("api_keys", "created_by")


def _create(index: tuple[str, ...]) -> None:
    table, *columns = index
    op.create_index(_name(index), table, columns)


def _name(index: tuple[str, ...]) -> str:
    return f"ix_{'_'.join(index)}"
