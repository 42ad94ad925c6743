"""SQLite: one file, one process, exactly one connection that writes.

SQLite before 3.51.3 can damage a file when two connections write or checkpoint at
once. So readers cannot write (`mode=ro`, `query_only`), and a lock of the operating
system beside the file keeps a second process out. A commit has reached the disk
when it returns (`synchronous=FULL`).
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from sqlalchemy import create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import QueuePool, StaticPool

from trackerapi_backend.store import StoreError
from trackerapi_backend.store.migrations import (
    HEAD,
    current_revision,
    upgrade_to_head,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import TextIO

    from sqlalchemy import Connection, Engine

T = TypeVar("T")

READERS = 4

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA mmap_size=0",
)


class SqliteStore:
    """A store in one file, made where there is none.

    Args:
        path: The file; its folder must exist.
        migrate: Whether to bring the schema up to date; a file that is not new is
            first copied beside itself.

    Raises:
        StoreError: If another process has the file, it cannot be written, or its
            schema is not the one this release needs.
    """

    def __init__(self, path: Path, *, migrate: bool = False) -> None:
        if path.is_dir():
            raise StoreError(f"{path} is a folder: name a file in it")
        self._lock = _lock(path)
        _make_private(path)
        self._writer = _writing_engine(path)
        self._readers = _reading_engine(path)
        try:
            self._check_schema(path, migrate=migrate)
        except DatabaseError as error:
            self.close()
            raise StoreError(
                f"{path} cannot be used as a database ({error.orig}): choose another"
            ) from None
        except BaseException:
            self.close()
            raise

    def _check_schema(self, path: Path, *, migrate: bool) -> None:
        with self._writer.connect() as db:
            revision = current_revision(db)
        if revision == HEAD:
            return
        if not migrate:
            raise StoreError(
                f"{path} has schema {revision or 'none'}, this release needs {HEAD}:"
                " run `trackerapi-backend migrate`"
            )
        if revision is not None:
            self._back_up(path.with_name(f"{path.name}.before-{HEAD}"))
        with self.transaction() as db:
            upgrade_to_head(db)

    def _back_up(self, copy: Path) -> None:
        _make_private(copy)
        with self._writer.connect() as db:
            db.connection.execute("VACUUM INTO ?", (str(copy),))

    def read(self, query: Callable[[Connection], T]) -> T:
        """Return what `query` finds in one consistent snapshot."""
        with self._readers.begin() as db:
            return query(db)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Begin a transaction that commits at the end of the block."""
        with self._writer.begin() as db:
            yield db

    def close(self) -> None:
        """Give up all connections and the lock."""
        self._readers.dispose()
        self._writer.dispose()
        self._lock.close()


def _make_private(path: Path) -> None:
    """Make a file that only its owner may read, unless it is there.

    SQLite gives its own files beside the database the same rights.
    """
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


def _lock(path: Path) -> TextIO:
    """Return the open lock file; closing it gives the lock up."""
    lock_path = path.with_name(f"{path.name}.lock")
    try:
        _make_private(lock_path)
        lock = lock_path.open("a")
    except OSError as error:
        raise StoreError(
            f"{lock_path} cannot be written ({error.strerror}): name a folder that"
            " can be, with --data-dir or TRACKERAPI_BACKEND_DATABASE"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StoreError(
            f"{path} is in use by another trackerapi-backend: stop that one first, or"
            " choose another folder or database"
        ) from None
    return lock


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
        hide_parameters=True,  # an error that is logged must not hold a job's data
    )
    # The driver's own transactions begin too late for savepoints.
    event.listen(engine, "begin", _begin("BEGIN IMMEDIATE"))
    return engine


def _reading_engine(path: Path) -> Engine:
    address = f"file:{quote(str(path.absolute()))}?mode=ro"

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
