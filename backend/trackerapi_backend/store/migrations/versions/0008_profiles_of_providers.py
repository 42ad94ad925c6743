"""Profile of a provider; label, language and last opening of a share link."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_PROFILE = {
    "display_name": 100,
    "contact_text": 300,
    "contact_phone": 40,
    "contact_mail": 254,
    "time_zone": 64,
    "language": 20,
    "accent": 7,
}


def upgrade() -> None:
    """Apply this revision; stored providers and links have none of the new values."""
    # `batch_alter_table()` would copy the whole tables.
    for name, length in _PROFILE.items():
        op.add_column("providers", sa.Column(name, sa.String(length)))
    op.add_column("share_links", sa.Column("label", sa.String(100)))
    op.add_column("share_links", sa.Column("language", sa.String(20)))
    # Microseconds since 1970, as in all columns of instants.
    op.add_column("share_links", sa.Column("last_opened_at", sa.BigInteger()))


def downgrade() -> None:
    """Revert this revision; delete the profiles and the new values of links."""
    for name in ("last_opened_at", "language", "label"):
        op.drop_column("share_links", name)
    for name in reversed(_PROFILE):
        op.drop_column("providers", name)
