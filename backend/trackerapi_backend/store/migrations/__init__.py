"""Migrations: the revisions of the schema, the same for all engines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from trackerapi_backend.store import StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD = "0014"
"""Revision of this release. Revisions are numbered without gaps, from 0001."""


def current_revision(db: Connection) -> str | None:
    """Return the revision of the schema of `db`; None for an empty database."""
    if not inspect(db).has_table("alembic_version"):
        return None
    revision = db.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if revision is None else str(revision)


def needs_upgrade(revision: str | None, database: str, *, may_upgrade: bool) -> bool:
    """Return whether the schema of a database is older than `HEAD`.

    Args:
        revision: Revision of the schema; None for an empty database.
        database: Name of the database for messages.
        may_upgrade: Whether the caller upgrades an older schema.

    Raises:
        StoreError: If the schema is newer, or is older and the caller does not upgrade.
    """
    if revision == HEAD:
        return False
    if revision is not None and is_newer(revision):
        raise newer_release_error(database, f"schema {revision}")
    if not may_upgrade:
        found = "no schema" if revision is None else f"schema {revision}"
        raise StoreError(
            f"{database} has {found}, this release needs schema {HEAD}:"
            " run `trackerapi-backend migrate`"
        )
    return True


def is_newer(revision: str) -> bool:
    """Return whether this release does not know a revision."""
    return revision not in {f"{number:04}" for number in range(1, int(HEAD) + 1)}


def newer_release_error(name: str, found: str) -> StoreError:
    """Return the error for a database or file that this release cannot read.

    Args:
        name: Name of the database or file.
        found: Schema or format with its number.
    """
    return StoreError(
        f"{name} has {found}, made by a newer release: install that release"
    )


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
