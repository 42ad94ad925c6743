"""Store of the backend: all SQL of the project.

Queries are plain functions on a `Connection`, in one module for each group of tables.
Each query works on every database engine. A `Store` is one engine, which opens the
connections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy import Connection

T = TypeVar("T")


class StoreError(Exception):
    """Failure of the store; the message names the fix.

    Attributes:
        cause: Cause of the failure for callers of the API, without names of files,
            hosts or users.
        is_transient: Whether the same transaction may succeed a moment later, for
            example after a restart of the database server.
        may_be_stored: Whether the changes may be stored nevertheless, because the
            answer to COMMIT was lost.
    """

    def __init__(
        self,
        message: str,
        *,
        cause: str = "",
        is_transient: bool = False,
        may_be_stored: bool = False,
    ) -> None:
        super().__init__(message)
        self.cause, self.is_transient = cause, is_transient
        self.may_be_stored = may_be_stored


class StoreInUse(StoreError):
    """Failure to lock a SQLite file that another process has locked.

    Attributes:
        path: Path of the file.
    """

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


Change = int | str
"""Changed row: the id of a job, or a letter and the id of a row of another table."""


class Channel(Protocol):
    """Connection to the other server processes on the same database.

    Attributes:
        is_connected: Whether notifications of changes by other processes arrive.
    """

    is_connected: bool

    def announce(self, changes: Collection[Change]) -> None:
        """Notify other processes of committed changes."""

    def watch(self, *, is_watching: bool) -> None:
        """Set whether this process needs notifications of changes."""

    def close(self, timeout_seconds: float) -> None:
        """End the connection; abandon it after the time limit."""


class PoolUse(NamedTuple):
    """Number of reading connections in use, and their maximum."""

    in_use_count: int
    max_count: int


class Reader(Protocol):
    """Read-only access to a database."""

    def read(self, query: Callable[[Connection], T]) -> T:
        """Return the result of a query on one snapshot; see `Store.read()`."""

    def close(self) -> None:
        """Close all connections."""


class Store(Protocol):
    """A database engine with its files or servers.

    Attributes:
        is_shared: Whether other processes may change the database.
    """

    is_shared: ClassVar[bool]

    def read(self, query: Callable[[Connection], T]) -> T:
        """Return the result of a query on one consistent snapshot.

        Safe to call from any thread. Blocks while all connections are in use.

        Raises:
            StoreError: If the engine fails.
        """

    def transaction(
        self, *, shared: bool = False
    ) -> AbstractContextManager[Connection]:
        """Begin a transaction that commits at the end of the block.

        Only one thread may call this method, for one transaction at a time. In a
        server this is the thread of the `Writer`.

        Args:
            shared: Whether shared transactions of other processes may run at the same
                time. A shared transaction must change only jobs, and only jobs from
                `find_reported_jobs()`, which locks them.

        Raises:
            StoreError: If the engine fails, or if the driver does not confirm that the
                transaction was open until COMMIT and that COMMIT has ended it. No
                change is stored, unless `StoreError.may_be_stored` is true.
        """

    def is_in_transaction(self, db: Connection) -> bool:
        """Return whether the driver reports an open transaction."""

    def touch(self, db: Connection) -> None:
        """Write a value that no query reads, so that the commit writes to the disk."""

    def purge(self, *, whole: bool = False) -> str | None:
        """Remove the bytes of deleted rows from the files of the database.

        Safe to call from any thread. Blocks for at most about a minute.

        Args:
            whole: Whether to rewrite a database of any size, without a time
                limit. Other transactions wait meanwhile.

        Returns:
            Reason why bytes of deleted rows may be left, with the fix; else None.
        """

    def backups(self) -> Sequence[Path]:
        """Return the known copies of the database; they may contain deleted rows."""

    def shortage(self) -> str | None:
        """Return a sentence about a shortage, such as low disk space, else None."""

    def size_bytes(self) -> int:
        """Return the size of the database on its disk, in bytes.

        Raises:
            StoreError: If the engine fails.
        """

    def pool_use(self) -> PoolUse:
        """Return the number of reading connections in use, and their maximum."""

    def open_channel(
        self, on_changes: Callable[[Collection[Change] | None], None]
    ) -> Channel | None:
        """Return a channel to other processes; None if no other process may write.

        Args:
            on_changes: Function that a thread calls with the changes by other
                processes; with None if any row may have changed.
        """

    def lock_maintenance(self) -> Callable[[], None] | None:
        """Acquire the lock of tasks that only one process runs at a time.

        Returns:
            Function that releases the lock; None if another process has the lock.

        Raises:
            StoreError: If the engine cannot be reached.
        """

    def close(self) -> None:
        """Close all connections and release all locks."""
