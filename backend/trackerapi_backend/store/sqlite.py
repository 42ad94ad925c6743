"""SQLite: one file, one process, exactly one connection that writes.

SQLite before 3.51.3 can damage a file when two connections write or checkpoint at
once. So readers cannot write (`mode=ro`, `query_only`), and a lock on the file keeps
a second process out. A commit has reached the disk when it returns
(`synchronous=FULL`), and it counts only if the driver says that a transaction was
open before and is not any more.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from sqlalchemy import create_engine, event
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.pool import QueuePool, StaticPool

from trackerapi_backend.store import StoreError
from trackerapi_backend.store.migrations import (
    HEAD,
    current_revision,
    upgrade_to_head,
)
from trackerapi_backend.store.sqlite_file import DatabaseFile, make_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine

T = TypeVar("T")

READERS = 4

_OF_A_STATEMENT = (
    IntegrityError,
    DataError,
    ProgrammingError,
    NotSupportedError,
)
_ADVICE = {
    sqlite3.SQLITE_NOTADB: "choose another file",
    sqlite3.SQLITE_CORRUPT: "put a backup in its place",
    sqlite3.SQLITE_FULL: "make space on the disk",
    sqlite3.SQLITE_IOERR: "check the disk, its free space and limits of file sizes",
    sqlite3.SQLITE_READONLY: "make the file and its folder writable",
    sqlite3.SQLITE_CANTOPEN: "make the file and its folder writable",
    sqlite3.SQLITE_PERM: "make the file and its folder writable",
    sqlite3.SQLITE_BUSY: "end the other program that uses it",
    sqlite3.SQLITE_LOCKED: "end the other program that uses it",
}

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA mmap_size=0",
    # In memory: a command needs no descriptor and no disk space for temporary files.
    "PRAGMA temp_store=MEMORY",
)


class SqliteStore:
    """A store in one SQLite file; makes the file if it does not exist.

    Args:
        path: The file; its folder must exist.
        migrate: Whether to bring the schema up to date; an existing file is first
            copied to a new name beside it.

    Raises:
        StoreError: If another process uses the file, the file cannot be written, or
            its schema is not that of this release.
    """

    def __init__(self, path: Path, *, migrate: bool = False) -> None:
        self._file = DatabaseFile(path)
        self._named, self._is_writing = path, False
        self._writer = _writing_engine(self._file.path)
        self._readers = _reading_engine(self._file.path)
        try:
            with self._engine_errors():
                self._check_schema(migrate=migrate)
                self._file.note_log()
        except BaseException:
            self.close()
            raise

    def _check_schema(self, *, migrate: bool) -> None:
        with self._writer.connect() as db:
            revision = current_revision(db)
        if revision == HEAD:
            return
        if not migrate:
            raise StoreError(
                f"{self._named} has schema {revision or 'none'}, this release needs"
                f" {HEAD}: run `trackerapi-backend migrate`"
            )
        if revision is not None:
            self._back_up()
        with self.transaction() as db:
            upgrade_to_head(db)

    def _back_up(self) -> None:
        """Copy the database beside itself; a complete copy gets its final name."""
        copy = self._named.with_name(f"{self._named.name}.before-{HEAD}")
        if os.path.lexists(copy):
            raise StoreError(
                f"{copy} is in the way, the copy of an earlier `migrate`: move it"
                " elsewhere, then run `trackerapi-backend migrate` again"
            )
        fresh = copy.with_name(f"{copy.name}.new")
        try:
            fresh.unlink(missing_ok=True)
            make_private(fresh)
            with self._writer.connect() as db:
                # Bytes: the name need not be UTF-8.
                db.connection.execute(
                    "VACUUM INTO CAST(? AS TEXT)", (os.fsencode(fresh),)
                )
            fresh.replace(copy)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"{fresh} cannot be written ({error}): the database is changed only"
                " once there is a copy of it"
            ) from None

    def read(self, query: Callable[[Connection], T]) -> T:
        """Return what `query` finds in one consistent snapshot.

        Raises:
            StoreError: If SQLite fails, for example because the file is damaged.
        """
        with self._engine_errors(), self._readers.begin() as db:
            return query(db)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Begin a transaction that commits at the end of the block.

        Raises:
            StoreError: If SQLite fails or has ended the transaction by itself, or if
                the file was moved or deleted; then nothing is stored.
        """
        self._is_writing = True
        try:
            with self._engine_errors(), self._writer.connect() as db:
                with db.begin():
                    yield db
                    self._file.require_unchanged()
                    # Outside of a transaction, COMMIT does nothing and raises nothing.
                    if not self.is_in_transaction(db):
                        raise StoreError("SQLite has rolled the transaction back")
                if self.is_in_transaction(db):
                    raise StoreError("SQLite has not ended the transaction")
        finally:
            self._is_writing = False

    def is_in_transaction(self, db: Connection) -> bool:
        """Return whether the driver says that the transaction is still open."""
        driver = db.connection.driver_connection
        return isinstance(driver, sqlite3.Connection) and driver.in_transaction

    def touch(self, db: Connection) -> None:
        """Change the version number that SQLite leaves to applications."""
        version = db.exec_driver_sql("PRAGMA user_version").scalar_one()
        db.exec_driver_sql(f"PRAGMA user_version = {(int(version) + 1) % 2**31}")

    def shortage(self) -> str | None:
        """Return a sentence if too little space is free; None if there is enough."""
        return self._file.shortage()

    def close(self) -> None:
        """Close all connections and release the lock.

        A connection on which another thread is still writing stays open: closing it
        would crash. It ends with the process, and its transaction is not stored.
        """
        self._readers.dispose()
        if not self._is_writing:
            self._writer.dispose()
            self._file.close()

    @contextmanager
    def _engine_errors(self) -> Iterator[None]:
        """Raise StoreError for failures of SQLite; pass on errors of a statement."""
        try:
            yield
        except DBAPIError as error:
            if isinstance(error, _OF_A_STATEMENT):
                raise
            code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            advice = _ADVICE.get(code & 0xFF, "see what the message says")
            raise StoreError(
                f"{self._named} cannot be used ({error.orig}): {advice}",
                cause=str(error.orig),
            ) from error


def _writing_engine(path: Path) -> Engine:
    def connect() -> sqlite3.Connection:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in _PRAGMAS:
            db.execute(pragma)
        return db

    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=StaticPool,
        hide_parameters=True,  # a logged error must not contain the data of a job
    )
    # The driver itself would begin a transaction only after the savepoint.
    event.listen(engine, "begin", _begin("BEGIN IMMEDIATE"))
    return engine


def _reading_engine(path: Path) -> Engine:
    address = f"file:{quote(os.fsencode(path))}?mode=ro"

    def connect() -> sqlite3.Connection:
        db = sqlite3.connect(
            address, uri=True, isolation_level=None, check_same_thread=False
        )
        db.execute("PRAGMA query_only=ON")
        return db

    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=QueuePool,
        hide_parameters=True,
        pool_size=READERS,
        max_overflow=0,
    )
    event.listen(engine, "begin", _begin("BEGIN"))
    return engine


def _begin(statement: str) -> Callable[[Connection], Any]:
    def begin(db: Connection) -> None:
        db.exec_driver_sql(statement)

    return begin
