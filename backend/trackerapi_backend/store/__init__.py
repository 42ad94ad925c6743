"""What the backend keeps, and the only SQL of the project.

Queries are plain functions over a `Connection`, one module a subject, and speak no
engine's dialect. An engine is a `Store`: it hands out the connections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

T = TypeVar("T")


class StoreError(Exception):
    """The store cannot be used as it is; the message says what to do.

    Attributes:
        cause: What has happened, for callers too: it names no file.
    """

    def __init__(self, message: str, *, cause: str = "") -> None:
        super().__init__(message)
        self.cause = cause


class Store(Protocol):
    """An engine with its files or servers."""

    def read(self, query: Callable[[Connection], T]) -> T:
        """Return what `query` finds in one consistent snapshot; from any thread.

        Raises:
            StoreError: If the engine fails.
        """

    def transaction(self) -> AbstractContextManager[Connection]:
        """Begin a transaction that commits at the end of the block.

        One at a time and from one thread: the writer owns it while a server runs.

        Raises:
            StoreError: If the engine fails or its driver does not confirm that a
                transaction was open and is committed; then nothing is stored.
        """

    def is_in_transaction(self, db: Connection) -> bool:
        """Return whether the driver says that the transaction is still open."""

    def touch(self, db: Connection) -> None:
        """Change something that nobody reads, so that a commit has work to do."""

    def shortage(self) -> str | None:
        """Return why writes may soon fail, in one sentence; None if they may not."""

    def close(self) -> None:
        """Give up all connections and locks."""
