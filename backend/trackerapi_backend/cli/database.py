"""Access of commands to the database, without a server.

`key`, `customer`, `provider`, `export` and `import` open the database themselves, so
they need no running server. With SQLite they fail beside a server: the server holds the
lock on the file.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trackerapi_backend.jobs.providers import find_or_create_provider
from trackerapi_backend.pepper import LOST_PEPPER, PepperFile, open_pepper_file
from trackerapi_backend.settings import PREFIX, SettingsError, storage_from
from trackerapi_backend.store.api_keys import has_keys
from trackerapi_backend.store.peppers import find_peppers, record_peppers
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

    def open_pepper(self) -> PepperFile:
        """Return the secrets of this installation; see `open_pepper()`.

        A missing file is created before the first key.
        """
        return _use_pepper(self.db, self.storage, create=True)


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


def name_of(storage: Storage) -> str:
    """Return the name of a database for messages; an address may have a password."""
    return f"{storage.database or 'the PostgreSQL database'}"


def open_pepper(
    store: Store, storage: Storage, *, create: bool = False, accept: bool = False
) -> PepperFile:
    """Return the secrets of this installation, which all keys of the database need.

    The first call for a database records a fingerprint of the pepper there. Later calls
    reject the file of another installation.

    Args:
        store: Open database.
        storage: Settings of the database and of the file.
        create: Whether to create a missing file for a database without keys.
        accept: Whether to create a missing file, and to record its pepper in place of
            another one: existing keys become invalid.

    Raises:
        SettingsError: If the file is missing, cannot be used, is too short, or is not
            the file of this database.
        StoreError: If the database cannot be used.
    """

    def use(db: Connection) -> PepperFile:
        return _use_pepper(db, storage, create=create, accept=accept)

    # A read-only server of PostgreSQL is enough for `export`.
    if not accept and store.read(find_peppers):
        return store.read(use)
    with store.transaction() as db:
        return use(db)


def _use_pepper(
    db: Connection, storage: Storage, *, create: bool, accept: bool = False
) -> PepperFile:
    recorded = find_peppers(db)
    is_first = not recorded and not has_keys(db)
    file = open_pepper_file(
        storage.pepper_file,
        create=accept or (create and is_first),
        has_keys=not is_first,
    )
    fingerprints = file.read().fingerprints
    if accept or not recorded:
        record_peppers(db, fingerprints)
    # During a rotation, the copy of another host may lack the newest pepper.
    elif recorded.isdisjoint(fingerprints):
        raise SettingsError(
            f"{storage.pepper_file} is not the pepper of {name_of(storage)}: name the"
            f" right file with --pepper-file or {PREFIX}PEPPER_FILE; {LOST_PEPPER}"
        )
    return file


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
            provider_id = find_known_provider(db, options.provider)
        yield ProviderAccess(db, provider_id, storage)


def find_known_provider(db: Connection, name: str | None) -> int:
    """Return the id of a provider; see `find_provider()`.

    Raises:
        SettingsError: If the provider does not exist.
    """
    known = find_provider(db, name)
    if known is None:
        raise SettingsError(
            "the provider does not exist: `key create` and `customer create` add it"
        )
    return known
