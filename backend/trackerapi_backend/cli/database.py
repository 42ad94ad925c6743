"""Database of a command, opened by the command itself or by a running server.

A running server holds the lock on its SQLite file. A command that finds the lock taken
sends its arguments to the server (`server_client`). The server runs the same function
on its open store (`served`), and the command prints the lines that the function prints.

To write a command that works in both ways:

- Write a function `(options: Namespace, database: Database) -> None`, and pass it to
  `set_command()` in place of `set_defaults(run=...)`. A command without
  `set_command()` opens the database itself, and fails while a server runs.
- Read with `database.read(query)`. Read a long list page by page, with `fetch_all()`.
- Change data with `database.change(work)`, which prints the lines that `work` returns.
  `work` may run several times, so `work` must change only the database.
- In `work`, call the functions that the routes call. A function that changes cached or
  watched data adds the change to `changes_of(db)`: see `store/changes.py`.
- Read the files of the user in `prepare`: the server may have no access to them.
  `prepare` runs first, in the user's process. The server gets the options that
  `prepare` has changed.
- Write a file from the user's process: read the database by `open_to_read()`.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from trackerapi_backend.control.socket_file import connect
from trackerapi_backend.pepper import LOST_PEPPER, PepperFile, open_pepper_file
from trackerapi_backend.settings import PREFIX, SettingsError, storage_from
from trackerapi_backend.store import StoreInUse
from trackerapi_backend.store.api_keys import has_keys
from trackerapi_backend.store.migrations import current_revision, needs_upgrade
from trackerapi_backend.store.peppers import find_peppers, record_peppers
from trackerapi_backend.store.postgres import PostgresStore
from trackerapi_backend.store.providers import find_provider
from trackerapi_backend.store.sqlite import SqliteStore
from trackerapi_backend.store.sqlite_reading import SqliteReader

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Awaitable, Callable, Iterable

    from sqlalchemy import Connection

    from trackerapi_backend.cli.arguments import PrintLine
    from trackerapi_backend.requests.call import Services
    from trackerapi_backend.settings import Storage
    from trackerapi_backend.store import Reader, Store

T = TypeVar("T")

CONNECT_SECONDS = 30.0
"""Time limit to connect to a running server, in seconds."""


class Database(Protocol):
    """Open database of a command.

    Attributes:
        storage: Settings of the database.
        store: Open store, for reading only.
        print_line: Function that prints a line on the stdout of the command.
    """

    @property
    def storage(self) -> Storage: ...  # noqa: D102
    @property
    def store(self) -> Store: ...  # noqa: D102
    @property
    def print_line(self) -> PrintLine: ...  # noqa: D102

    def read(self, query: Callable[[Connection], T]) -> T:
        """Return the result of a query on one snapshot.

        Raises:
            StoreError: If the engine fails.
        """

    def change(self, work: Callable[[Connection], Iterable[str]]) -> None:
        """Run `work` in a transaction, and print the lines that `work` returns.

        `work` may run several times: only the changes of the last run are stored.

        Raises:
            StoreError: If the changes are not stored, or it is not known whether they
                are stored; the message names the case.
        """

    def open_pepper(self, db: Connection) -> PepperFile:
        """Return the secrets of this installation; see the function `open_pepper()`.

        A missing file is created if the database has no key yet.

        Args:
            db: Connection in the transaction of a change.
        """

    def run(self, work: Callable[[Services], Awaitable[T]]) -> T:
        """Run `work`, which makes several transactions; return its result.

        Raises:
            StoreError: If the server stops.
            Exception: Any exception of `work`.
        """


@dataclass(frozen=True, slots=True)
class OwnDatabase:
    """Database that this process has opened; see `Database`."""

    storage: Storage
    store: Store
    print_line: PrintLine

    def read(self, query: Callable[[Connection], T]) -> T:
        """Return the result of a query on one snapshot."""
        return self.store.read(query)

    def change(self, work: Callable[[Connection], Iterable[str]]) -> None:
        """Run `work` in a transaction, and print the lines that `work` returns."""
        with self.store.transaction() as db:
            # Print within the transaction: if printing fails, the transaction is rolled
            # back, and the database has no key that was never shown.
            for line in work(db):
                self.print_line(line)

    def open_pepper(self, db: Connection) -> PepperFile:
        """Return the secrets of this installation; see the function `open_pepper()`."""
        return _use_pepper(db, self.storage, create=True)

    def run(self, work: Callable[[Services], Awaitable[T]]) -> T:
        """Run `work` in a new event loop; return its result."""
        # Import late: few commands need the parts of a server.
        from trackerapi_backend.cli.own_services import running_services

        async def run() -> T:
            async with running_services(self.storage, self.store) as services:
                return await work(services)

        return asyncio.run(run())


def set_command(
    parser: ArgumentParser,
    command: Callable[[Namespace, Database], None],
    prepare: Callable[[Namespace], None] | None = None,
) -> None:
    """Set the function of a command that also works while a server runs.

    Args:
        parser: `Parser` of the command, with its arguments.
        command: Function that runs in this process or in the server.
        prepare: Function that runs in this process first, and may change the options.
    """
    run = partial(_run, prepare)
    parser.set_defaults(run=run, command=command, parser=parser)


def _run(
    prepare: Callable[[Namespace], None] | None,
    options: Namespace,
    print_line: PrintLine,
) -> None:
    storage = storage_from(vars(options))
    if prepare is not None:
        prepare(options)
    try:
        with closing(open_store(storage)) as store:
            options.command(options, OwnDatabase(storage, store, print_line))
    except StoreInUse as error:
        from trackerapi_backend.cli.server_client import run_in_server

        run_in_server(options, error, print_line)


def find_known_provider(db: Connection, name: str | None) -> int:
    """Return the id of a provider; see `find_provider()`.

    Raises:
        SettingsError: If the provider does not exist.
    """
    known = find_provider(db, name)
    if known is None:
        raise SettingsError(
            "the provider does not exist: `provider list` lists the providers, and"
            " `key create` and `customer create` add a provider"
        )
    return known


def open_store(storage: Storage, *, migrate: bool = False) -> Store:
    """Open the database that the settings name.

    Args:
        storage: Settings of the database.
        migrate: Whether to upgrade the schema.

    Raises:
        SettingsError: If the settings name no database.
        StoreError: If the database cannot be used, or its schema is not the schema of
            this release.
    """
    if storage.database_url is not None:
        return PostgresStore(storage.database_url, migrate=migrate)
    if storage.database is None:
        raise SettingsError("no database")
    return SqliteStore(storage.database, migrate=migrate)


def open_to_read(storage: Storage) -> Reader:
    """Open a database for reading, also while a server runs; check its pepper file.

    Raises:
        SettingsError: If the pepper file is missing, or belongs to another database.
        StoreError: If the database cannot be used, or the process that has locked a
            SQLite file is not a server.
    """
    try:
        reader: Reader = open_store(storage)
    except StoreInUse as in_use:
        reader = _open_beside_server(in_use)
    try:
        # A database without keys may have no pepper yet.
        if reader.read(find_peppers):
            reader.read(lambda db: _use_pepper(db, storage, create=False))
    except BaseException:
        reader.close()
        raise
    return reader


def _open_beside_server(in_use: StoreInUse) -> Reader:
    # Only a server accepts a connection. Another process that has the lock, such as
    # `import`, may have stored half of its data.
    try:
        connect(in_use.path, CONNECT_SECONDS).close()
    except OSError:
        raise in_use from None
    with ExitStack() as stack:
        reader = stack.enter_context(closing(SqliteReader(in_use.path)))
        revision = reader.read(current_revision)
        needs_upgrade(revision, f"{in_use.path}", may_upgrade=False)
        stack.pop_all()
    return reader


def name_of(storage: Storage) -> str:
    """Return the name of a database for messages, without a URL and its password."""
    return f"{storage.database or 'the PostgreSQL database'}"


def open_pepper(
    store: Store, storage: Storage, *, create: bool = False, accept: bool = False
) -> PepperFile:
    """Return the secrets of this installation, which all keys of the database need.

    The first call records a fingerprint of the pepper in the database. Later calls
    reject the pepper file of another installation.

    Args:
        store: Open database.
        storage: Settings of the database and of the file.
        create: Whether to create a missing file for a database without keys.
        accept: Whether to create a missing file, and to record its pepper in place of
            the recorded pepper: existing keys become invalid.

    Raises:
        SettingsError: If the file is missing, cannot be used, is too short, or is not
            the file of this database.
        StoreError: If the database cannot be used.
    """

    def use(db: Connection) -> PepperFile:
        return _use_pepper(db, storage, create=create, accept=accept)

    # Write nothing if a pepper is recorded: `export` may use a read-only PostgreSQL.
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
    # One common pepper is enough: during a rotation, the file of this host may lack
    # the newest pepper.
    elif recorded.isdisjoint(fingerprints):
        raise SettingsError(
            f"{storage.pepper_file} is not the pepper of {name_of(storage)}: name the"
            f" right file with --pepper-file or {PREFIX}PEPPER_FILE; {LOST_PEPPER}"
        )
    return file
