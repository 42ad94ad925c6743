"""All checks of an installation, even if its database cannot be opened."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from trackerapi_backend.diagnosis import database, files, machine
from trackerapi_backend.diagnosis.database import Subject
from trackerapi_backend.diagnosis.finding import (
    Fault,
    Finding,
    chown_command,
    options_of,
    quote,
)
from trackerapi_backend.store import StoreError
from trackerapi_backend.store.health import has_schema
from trackerapi_backend.store.postgres import PostgresStore
from trackerapi_backend.store.postgres_commands import ready_command
from trackerapi_backend.store.sqlite_reading import SqliteReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sqlalchemy import Connection

    from trackerapi_backend.settings import Settings
    from trackerapi_backend.store import Reader

T = TypeVar("T")

_SETTINGS_CHECKS: Final = {
    "rights": (files.check_rights, "only the owner can read the files"),
    "owners": (files.check_owners, "the files belong to the owner of the database"),
    "links": (files.check_links, "no links lead to the files"),
    "erasures": (files.check_erasures, "erasures have a file outside the database"),
    "leftovers": (files.check_leftovers, "no leftover files"),
    "log size": (files.check_log_size, "the write-ahead log is small"),
    "file system": (files.check_file_system, "the database is on a local disk"),
    "disk": (machine.check_disk, "the disk has free space"),
    "descriptors": (machine.check_descriptors, "a process may open enough files"),
    "address": (machine.check_address, "share links have an address"),
    "versions": (machine.check_versions, "all dependencies have supported versions"),
}
_SQLITE_CHECKS: Final = ("log size", "file system", "disk")
"""Checks that PostgreSQL does not need: its files may be on another machine."""
_DATABASE_CHECKS: Final = {
    "schema": (database.check_schema, "the schema is the schema of this release"),
    "integrity": (database.check_integrity, "no damage was found"),
    "clock": (database.check_clock, "the clock fits the newest job"),
    "pepper": (database.check_pepper, "the pepper is the pepper of the database"),
}

_POSTGRES_FITS = "version, encoding and rights of PostgreSQL are sufficient"
_DAMAGES = ("malformed", "not a database", "not valid UTF-8")
"""Parts of the messages of SQLite and its driver about a damaged file."""


@dataclass(frozen=True, slots=True)
class _PostgresReader:
    """Reader of a PostgreSQL database that does not repeat a failed query."""

    store: PostgresStore

    def read(self, query: Callable[[Connection], T]) -> T:
        """Return the result of a query on one snapshot."""
        return self.store.read_once(query)

    def close(self) -> None:
        """Close all connections."""
        self.store.close()


def examine(settings: Settings, *, is_thorough: bool) -> Iterator[Finding]:
    """Yield the findings of all checks, at least one finding for each check that ran.

    The checks change nothing, and a server may run. An unusable database gets one
    finding in place of its checks. Most checks do not apply to an empty database.

    Args:
        settings: Settings of a server.
        is_thorough: Whether to compare all indexes of SQLite with their tables.
    """
    for name, (check, ok) in _SETTINGS_CHECKS.items():
        if settings.database is None and name in _SQLITE_CHECKS:
            continue
        yield from _findings(name, ok, settings, partial(check, settings))
    with ExitStack() as stack:
        try:
            reader = stack.enter_context(closing(_open(settings)))
            is_empty = not reader.read(has_schema)
        except StoreError as error:
            yield Fault(f"{error}", _opening_command(settings, error)).to_finding(
                "database"
            )
            return
        yield Finding("ok", "database", "the database can be read")
        subject = Subject(settings, reader, is_thorough)
        engine = machine.engine_version() if subject.is_sqlite else _POSTGRES_FITS
        checks = {"engine": (database.check_engine, engine), **_DATABASE_CHECKS}
        for name, (look, ok) in checks.items():
            if is_empty and name not in ("engine", "schema"):
                continue
            yield from _findings(name, ok, settings, partial(look, subject))


def _findings(
    name: str, ok: str, settings: Settings, check: Callable[[], Iterable[Fault]]
) -> Iterator[Finding]:
    try:
        found = list(check())
    except StoreError as error:
        found = [Fault(f"{error}", _opening_command(settings, error))]
    except OSError as error:
        found = [
            Fault(
                f"{error.filename} cannot be examined ({error.strerror}): run the"
                " command as the user of the server",
                "sudo trackerapi-backend doctor",
            )
        ]
    yield from (fault.to_finding(name) for fault in found)
    if not found:
        yield Finding("ok", name, ok)


def _open(settings: Settings) -> Reader:
    if settings.database is not None:
        return SqliteReader(settings.database)
    store = PostgresStore(settings.database_url or "", accept_any=True)
    return _PostgresReader(store)


def _opening_command(settings: Settings, error: StoreError) -> str:
    """Return the command for a database that cannot be opened or read."""
    path = settings.database
    if path is None:
        return ready_command(settings.database_url or "")
    folder = path.parent
    migrate = f"trackerapi-backend migrate{options_of(settings)}"
    if not folder.exists():
        return f"mkdir -m 700 -p {quote(folder)} && {migrate}"
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        return chown_command(folder)
    if path.exists() and not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
        return chown_command(path)
    if not path.exists():
        return migrate
    if not path.is_file():
        return "export TRACKERAPI_BACKEND_DATABASE=FILE"
    if any(reason in error.cause for reason in _DAMAGES):
        return f"trackerapi-backend restore FILE{options_of(settings)} --move-aside"
    # The command lists the programs that use the file.
    return f"fuser --verbose {quote(path)}"
