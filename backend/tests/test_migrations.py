"""The schema's history: up, down, and the same as the tables that queries use."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trackerapi_backend.store.migrations
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect
from trackerapi_backend.store import StoreError
from trackerapi_backend.store.migrations import HEAD, current_revision
from trackerapi_backend.store.schema import metadata
from trackerapi_backend.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Connection]:
    """A transaction on a new store that is up to date."""
    with (
        closing(SqliteStore(tmp_path / "own.db", migrate=True)) as store,
        store.transaction() as db,
    ):
        yield db


def history_of(db: Connection) -> Config:
    """Return what alembic needs to move the schema that `db` has."""
    config = Config()
    [folder] = trackerapi_backend.store.migrations.__path__
    config.set_main_option("script_location", folder)
    config.attributes["connection"] = db
    return config


def test_history_ends_in_the_tables_that_queries_use(db: Connection) -> None:
    """The revisions together make what the code believes in, to the index."""
    context = MigrationContext.configure(db, opts={"compare_type": True})
    assert compare_metadata(context, metadata) == []


def test_history_goes_down_and_up_again(db: Connection) -> None:
    """A release can be taken back, and taken back leaves no table behind."""
    command.downgrade(history_of(db), "base")
    assert inspect(db).get_table_names() == ["alembic_version"]
    command.upgrade(history_of(db), "head")
    assert current_revision(db) == HEAD
    context = MigrationContext.configure(db, opts={"compare_type": True})
    assert compare_metadata(context, metadata) == []


def test_store_refuses_a_schema_that_it_does_not_know(tmp_path: Path) -> None:
    """A file of another release is left alone, and the mend is named."""
    path = tmp_path / "own.db"
    with closing(SqliteStore(path, migrate=True)) as store, store.transaction() as db:
        command.downgrade(history_of(db), "base")
    with pytest.raises(StoreError, match="run `trackerapi-backend migrate`"):
        SqliteStore(path)
    SqliteStore(path, migrate=True).close()
    SqliteStore(path).close()
