"""Older and newer schemas of databases for tests."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import trackerapi_backend.store.migrations
from alembic import command
from alembic.config import Config
from sqlalchemy import text
from trackerapi_backend.cli.database import open_store
from trackerapi_backend.settings import storage_from

from backend.tests.support.service import variables_of

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

NEWER = "9999"
"""Revision of a schema that only a newer release knows."""


def config_for(db: Connection) -> Config:
    """Return the configuration of alembic for the schema of `db`."""
    config = Config()
    [folder] = trackerapi_backend.store.migrations.__path__
    # alembic interpolates `%` in options.
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.attributes["connection"] = db
    return config


def downgrade(folder: Path, revision: str, url: str | None = None) -> None:
    """Give the database of `prepare(folder, url)` the schema of an older release."""
    storage = storage_from({}, variables_of(folder, url))
    with closing(open_store(storage)) as store, store.transaction() as db:
        command.downgrade(config_for(db), revision)


def record_newer_revision(folder: Path, url: str | None = None) -> None:
    """Record `NEWER` in the database of `prepare(folder, url)`."""
    storage = storage_from({}, variables_of(folder, url))
    with closing(open_store(storage)) as store, store.transaction() as db:
        db.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": NEWER})
