"""Fair queue of the writer: providers take turns, and the queue is bounded.

Without turns, a provider with large batches on many connections would make each request
of another provider wait for seconds.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_ITEMS = 1000
MAX_BYTES = 32 * 1024 * 1024
"""Maximum total size of the bodies of all queued items, in bytes."""
MAX_GROUP_ITEMS = 64
MAX_GROUP_EVENTS = 1000
"""Number of events at which a group ends, so that no commit takes long."""


@dataclass(frozen=True, slots=True)
class Load:
    """Cost of an item.

    Attributes:
        provider_id: Provider whose request made the item; 0 for the server itself.
        events: Number of events to store, at least 1.
        size_bytes: Size of the body of the request.
    """

    provider_id: int = 0
    events: int = 1
    size_bytes: int = 0


class FairQueue(Generic[T]):
    """Queue that returns the items of all providers in turns; not thread-safe.

    Args:
        max_items: Maximum number of queued items.
    """

    def __init__(self, max_items: int = MAX_ITEMS) -> None:
        self._max_items = max_items
        self._count = self._size_bytes = 0
        # Queued items by provider. The first provider has the next turn.
        self._turns: dict[int, deque[tuple[T, Load]]] = {}

    def __len__(self) -> int:
        return self._count

    def add(self, item: T, load: Load) -> bool:
        """Add an item; return False if the queue is full."""
        is_too_large = self._size_bytes + load.size_bytes > MAX_BYTES
        if self._count >= self._max_items or is_too_large:
            return False
        self._turns.setdefault(load.provider_id, deque()).append((item, load))
        self._count += 1
        self._size_bytes += load.size_bytes
        return True

    def next_group(self) -> list[T]:
        """Remove and return the next items, one item of each provider in turn.

        The group has at most `MAX_GROUP_ITEMS` items, and ends with the item that
        reaches `MAX_GROUP_EVENTS`.
        """
        group: list[T] = []
        events = 0
        while (
            self._turns and len(group) < MAX_GROUP_ITEMS and events < MAX_GROUP_EVENTS
        ):
            provider_id = next(iter(self._turns))
            queued = self._turns.pop(provider_id)
            item, load = queued.popleft()
            if queued:
                self._turns[provider_id] = queued  # behind all other providers
            self._count -= 1
            self._size_bytes -= load.size_bytes
            events += load.events
            group.append(item)
        return group

    def clear(self) -> list[T]:
        """Remove and return all items."""
        items = [item for queued in self._turns.values() for item, _load in queued]
        self._turns.clear()
        self._count = self._size_bytes = 0
        return items
