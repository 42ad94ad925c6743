"""Store in a SQLite file: one process, one connection that writes, several readers.

SQLite before 3.51.3 can damage a file when two connections write or checkpoint at the
same time. So readers cannot write (`mode=ro`, `query_only`), and a lock on the file
keeps out a second process. A commit returns once its data is on the disk
(`synchronous=FULL`). A transaction counts as committed only if the driver reports an
open transaction before COMMIT and no open transaction after COMMIT.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from trackerapi_backend.store import PoolUse, StoreError, sqlite_sql
from trackerapi_backend.store.health import is_foreign
from trackerapi_backend.store.known_backups import find_backups
from trackerapi_backend.store.migrations import (
    HEAD,
    current_revision,
    needs_upgrade,
    upgrade_to_head,
)
from trackerapi_backend.store.sqlite_file import (
    DatabaseFile,
    create_private_file,
    has_log,
)
from trackerapi_backend.store.sqlite_reading import reading_engine, sqlite_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection, Engine, QueuePool

T = TypeVar("T")

READERS = 4
MAX_REWRITTEN_BYTES = 128 * 1024 * 1024
"""Maximum size of the data that `purge()` rewrites, in bytes.

Free pages of the file do not count. All transactions wait for the rewrite: this size
takes half a second on a fast disk."""
BUSY_MILLISECONDS = 5000
"""Time for which a statement waits for another connection, in milliseconds."""
EMPTY_LOG_SECONDS = 10.0
"""Time limit for emptying the write-ahead log while readers use it, in seconds."""
EMPTY_LOG_PAUSE_SECONDS = 0.02

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA mmap_size=0",
    # Deleted and replaced values are overwritten, so that an erasure leaves no bytes.
    "PRAGMA secure_delete=ON",
    # A checkpoint copies each changed page once. With the default of 1,000 pages, all
    # reports together need a fifth more time, and wait more often for a checkpoint.
    "PRAGMA wal_autocheckpoint=4000",
    # Temporary tables stay in memory: on a full disk, or with all descriptors in use,
    # SQLite could not create a temporary file.
    "PRAGMA temp_store=MEMORY",
)


class SqliteStore:
    """Store in one SQLite file.

    Args:
        path: Path of the file; its folder must exist.
        migrate: Whether to create a missing file and to upgrade the schema. An existing
            database is first copied into the same folder.

    Raises:
        StoreError: If the file is missing, another process uses the file, the file
            cannot be written, or its schema is not the schema of this release.
    """

    is_shared: ClassVar[bool] = False

    def __init__(self, path: Path, *, migrate: bool = False) -> None:
        self._file = DatabaseFile(path, create=migrate)
        self._named = path
        # Transactions and `purge()` use the writing connection in turns. Another thread
        # may call `close()` meanwhile: `close()` checks whether the lock is held.
        self._turn = threading.Lock()
        self._writer = _writing_engine(self._file.path)
        # The writing connection, open between two transactions: to get a connection
        # from the pool takes longer than BEGIN and COMMIT.
        self._idle: Connection | None = None
        self._readers = reading_engine(self._file.path, pool_size=READERS)
        try:
            with sqlite_errors(self._named):
                self._check_schema(migrate=migrate)
                # Record the log now: the first statement has created the log file.
                self._file.record_log_identity()
        except BaseException:
            self.close()
            raise

    def _check_schema(self, *, migrate: bool) -> None:
        with self._examining() as db:
            revision, is_other = current_revision(db), is_foreign(db)
        if is_other:
            raise StoreError(
                f"{self._named} is a database of another program: name another file"
            )
        if needs_upgrade(revision, f"{self._named}", may_upgrade=migrate):
            if revision is not None:
                self._back_up()
            with self.transaction() as db:
                upgrade_to_head(db)
        else:
            # The first statement of the writing connection creates the log.
            self._writer.connect().close()

    @contextmanager
    def _examining(self) -> Iterator[Connection]:
        """Yield a connection that changes nothing in a database of another program.

        The writing connection would give the database a write-ahead log. In a database
        with such a log, a reader would leave files behind.
        """
        if has_log(self._file.path):
            with self._writer.connect() as db:
                yield db
            return
        reading = reading_engine(self._file.path)
        try:
            with reading.begin() as db:
                yield db
        finally:
            reading.dispose()

    def _back_up(self) -> None:
        """Copy the database into the same folder.

        The copy gets its final name when it is complete: a crash leaves a file with
        the suffix `.new`, which the next call replaces.
        """
        file = self._file.path
        copy = file.with_name(f"{file.name}.before-{HEAD}")
        if os.path.lexists(copy):
            raise StoreError(
                f"{copy} exists, the copy of an earlier `migrate`: move it"
                " elsewhere, then run `trackerapi-backend migrate` again"
            )
        fresh = copy.with_name(f"{copy.name}.new")
        try:
            fresh.unlink(missing_ok=True)
            create_private_file(fresh)
            with self._writer.connect() as db:
                # Pass the name as bytes: it may not be UTF-8.
                db.connection.execute(
                    "VACUUM INTO CAST(? AS TEXT)", (os.fsencode(fresh),)
                )
            fresh.replace(copy)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"{fresh} cannot be written ({error}): the database is not changed"
                " without a copy"
            ) from None

    def read(self, query: Callable[[Connection], T]) -> T:
        """Return the result of a query on one consistent snapshot.

        Raises:
            StoreError: If SQLite fails, for example on a damaged file.
        """
        with sqlite_errors(self._named), self._readers.begin() as db:
            return query(db)

    @contextmanager
    def transaction(self, *, shared: bool = False) -> Iterator[Connection]:
        """Begin a transaction that commits at the end of the block.

        Raises:
            StoreError: If SQLite fails, SQLite has ended the transaction itself, or
                the file was moved or deleted. Then nothing is stored.
        """
        with self._turn, sqlite_errors(self._named), self._writing() as db:
            if not shared:
                # Without this transaction of SQLAlchemy, alembic would commit. Reports
                # begin none: SQLAlchemy would take more time than the engine.
                db.begin()
            yield db
            # A commit to a deleted file would succeed, but its data would be lost.
            self._file.require_unchanged()
            # SQLite may have rolled the transaction back, for example on a full
            # disk. The driver's COMMIT then does nothing and raises no error.
            if not self.is_in_transaction(db):
                raise StoreError("SQLite has rolled the transaction back")
            sqlite_sql.commit(db)
            # Check after COMMIT too: the caller acknowledges the changes only
            # after a confirmed commit.
            if self.is_in_transaction(db):
                raise StoreError("SQLite has not ended the transaction")

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Yield the connection that writes, in a transaction.

        If the block raises, the changes are rolled back.
        """
        db, self._idle = self._idle or self._writer.connect(), None
        try:
            # BEGIN IMMEDIATE acquires the write lock, so no later statement fails
            # because another connection has the lock.
            sqlite_sql.fetch(db, "BEGIN IMMEDIATE")
            yield db
        except BaseException:
            # After a failed COMMIT, SQLAlchemy would leave the transaction open.
            with suppress(sqlite3.Error):
                sqlite_sql.driver_connection(db).rollback()
            db.close()
            raise
        self._idle = db

    def is_in_transaction(self, db: Connection) -> bool:
        """Return whether the driver reports an open transaction."""
        return sqlite_sql.driver_connection(db).in_transaction

    def touch(self, db: Connection) -> None:
        """Change `user_version`, a number that SQLite reserves for applications."""
        version = db.exec_driver_sql("PRAGMA user_version").scalar_one()
        db.exec_driver_sql(f"PRAGMA user_version = {(int(version) + 1) % 2**31}")

    def purge(self, *, whole: bool = False) -> str | None:
        """Remove the bytes of deleted rows from the file and its write-ahead log.

        `secure_delete` overwrites deleted rows, but a page that SQLite has split may
        keep copies of rows in its free space. Only a rewrite of the file removes these
        copies. Transactions wait for the rewrite, so more data than
        `MAX_REWRITTEN_BYTES` is rewritten only with `whole`.

        Returns:
            Reason why bytes may be left, with the fix; None if no bytes are left.
        """
        try:
            with self._alone() as db:
                size = _data_bytes(db)
                is_rewritten = whole or size <= MAX_REWRITTEN_BYTES
                if is_rewritten:
                    sqlite_sql.fetch(db, "VACUUM")
            self._empty_log()
        except StoreError as error:
            return (
                f"the database cannot be cleaned now ({error.cause}): the server tries"
                " again at its start and every 10 minutes"
            )
        if is_rewritten:
            return None
        return (
            f"the database has {size // 1024**2} MiB of data, too much for a rewrite"
            " while a server runs: stop the server, then run `trackerapi-backend"
            " compact`"
        )

    @contextmanager
    def _alone(self) -> Iterator[Connection]:
        """Yield the writing connection without a transaction; transactions wait."""
        with self._turn, sqlite_errors(self._named):
            db, self._idle = self._idle or self._writer.connect(), None
            try:
                yield db
            finally:
                self._idle = db

    def _empty_log(self) -> None:
        """Copy the write-ahead log into the file, and truncate the log.

        Raises:
            StoreError: If a reader uses the log for too long.
        """
        until = time.monotonic() + EMPTY_LOG_SECONDS
        while True:
            with self._alone() as db:
                # Do not wait for readers here: all transactions would wait too.
                sqlite_sql.fetch(db, "PRAGMA busy_timeout=0")
                [[is_busy, *_]] = sqlite_sql.fetch(
                    db, "PRAGMA wal_checkpoint(TRUNCATE)"
                )
                sqlite_sql.fetch(db, f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
            if not is_busy:
                return
            if time.monotonic() >= until:
                cause = "a long read keeps the write-ahead log in use"
                raise StoreError(cause, cause=cause)
            time.sleep(EMPTY_LOG_PAUSE_SECONDS)

    def backups(self) -> Sequence[Path]:
        """Return the existing copies that `migrate`, `restore` and `backup` made."""
        return find_backups(self._file.path)

    def shortage(self) -> str | None:
        """Return a sentence if the disk has too little free space, else None."""
        return self._file.shortage()

    def size_bytes(self) -> int:
        """Return the total size of the file and its write-ahead log, in bytes."""
        return self._file.size_bytes()

    def pool_use(self) -> PoolUse:
        """Return the number of reading connections in use, and their maximum."""
        pool = cast("QueuePool", self._readers.pool)
        return PoolUse(pool.checkedout(), READERS)

    def open_channel(
        self,
        on_changes: Callable[[Collection[int] | None], None],  # noqa: ARG002 -- unused
    ) -> None:
        """Return None: no other process writes to the file."""
        return

    def lock_maintenance(self) -> Callable[[], None]:
        """Return a function that does nothing: no other process uses the file."""
        return lambda: None

    def close(self) -> None:
        """Close all connections and release the lock.

        A connection on which another thread writes stays open: closing it would crash
        the process. At the end of the process, its transaction is rolled back.
        """
        self._readers.dispose()
        if not self._turn.locked():
            if self._idle is not None:
                self._idle.close()
            self._writer.dispose()
            self._file.close()


def _data_bytes(db: Connection) -> int:
    """Return the size of the pages that a rewrite keeps."""
    [[pages]] = sqlite_sql.fetch(db, "PRAGMA page_count")
    [[free]] = sqlite_sql.fetch(db, "PRAGMA freelist_count")
    [[page_bytes]] = sqlite_sql.fetch(db, "PRAGMA page_size")
    return int((pages - free) * page_bytes)


def _writing_engine(path: Path) -> Engine:
    def connect() -> sqlite3.Connection:
        # `isolation_level=None` turns off the transactions of the driver: they begin
        # only with the first write, after the savepoint.
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in _PRAGMAS:
            db.execute(pragma)
        return db

    return create_engine(
        "sqlite://",
        creator=connect,
        poolclass=StaticPool,
        # A logged error must not contain the data of a job.
        hide_parameters=True,
    )
