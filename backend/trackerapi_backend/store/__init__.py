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
    """The store cannot be used as it is; the message says what to do."""


class Store(Protocol):
    """An engine with its files or servers."""

    def read(self, query: Callable[[Connection], T]) -> T:
        """Return what `query` finds in one consistent snapshot; from any thread."""

    def transaction(self) -> AbstractContextManager[Connection]:
        """Begin a transaction that commits at the end of the block.

        One at a time and from one thread: the writer owns it while a server runs.
        """

    def close(self) -> None:
        """Give up all connections and locks."""
