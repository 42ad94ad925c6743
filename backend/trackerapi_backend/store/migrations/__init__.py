"""Migrations: the revisions of the schema, the same for all engines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD = "0005"


def current_revision(db: Connection) -> str | None:
    """Return the revision of the schema of `db`; None for an empty database."""
    if not inspect(db).has_table("alembic_version"):
        return None
    revision = db.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if revision is None else str(revision)


def upgrade_to_head(db: Connection) -> None:
    """Upgrade the schema to `HEAD` in the open transaction of `db`."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    # alembic interpolates `%` in options, so a percent sign in the path is doubled.
    folder = str(Path(__file__).parent).replace("%", "%%")
    config.set_main_option("script_location", folder)
    config.attributes["connection"] = db
    command.upgrade(config, HEAD)
