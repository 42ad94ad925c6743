"""Access of commands to the database, without a server.

`key`, `customer`, `export` and `import` open the database themselves, so they need no
running server. With SQLite they fail beside a server: the server holds the lock on the
file.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trackerapi_backend.jobs.providers import find_or_create_provider
from trackerapi_backend.settings import SettingsError, read_pepper, storage_from
from trackerapi_backend.store.api_keys import has_keys
from trackerapi_backend.store.postgres import PostgresStore
from trackerapi_backend.store.providers import find_provider
from trackerapi_backend.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from trackerapi_backend.settings import Storage
    from trackerapi_backend.store import Store


@dataclass(frozen=True, slots=True)
class ProviderAccess:
    """Transaction on a database for one provider.

    Attributes:
        db: Connection in a transaction, which commits at the end of the block.
        provider_id: Id of the provider that `--provider` names; the oldest provider
            without this option.
        storage: Settings of the database.
    """

    db: Connection
    provider_id: int
    storage: Storage

    def read_pepper(self) -> bytes:
        """Return the secret of this installation.

        A missing file is created, but for PostgreSQL only before the first key: another
        host may have the secret of the existing keys.

        Raises:
            SettingsError: If the file is missing, cannot be used or is too short.
        """
        create = self.storage.database_url is None or not has_keys(self.db)
        return read_pepper(self.storage.pepper_file, create=create)


def open_store(storage: Storage, *, migrate: bool = False) -> Store:
    """Open the database that the settings name.

    Args:
        storage: Settings of the database.
        migrate: Whether to upgrade the schema.

    Raises:
        StoreError: If the database cannot be used, or its schema is not the schema of
            this release.
    """
    if storage.database_url is not None:
        return PostgresStore(storage.database_url, migrate=migrate)
    if storage.database is None:
        raise SettingsError("no database")
    return SqliteStore(storage.database, migrate=migrate)


@contextmanager
def open_provider(
    options: Namespace, *, create: bool = False
) -> Iterator[ProviderAccess]:
    """Open the database and find the provider that the options name.

    Args:
        options: Options of the command.
        create: Whether to create a provider that does not exist.

    Raises:
        SettingsError: If the provider does not exist, or a setting is invalid.
        StoreError: If the database cannot be used, for example while a server runs.
    """
    storage = storage_from(vars(options))
    with (
        closing(open_store(storage)) as store,
        store.transaction() as db,
    ):
        if create:
            provider_id = find_or_create_provider(db, options.provider)
        else:
            provider_id = _find_known_provider(db, options.provider)
        yield ProviderAccess(db, provider_id, storage)


def _find_known_provider(db: Connection, name: str | None) -> int:
    known = find_provider(db, name)
    if known is None:
        raise SettingsError(
            "the provider does not exist: `key create` and `customer create` add it"
        )
    return known
