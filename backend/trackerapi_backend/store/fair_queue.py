"""Fair queue: providers take turns, and no provider can fill the queue.

Without turns, a provider with large batches on many connections would make each request
of another provider wait for seconds. Without a maximum share of the queue for each
provider, requests of other providers would be rejected while the batches fill the
queue.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")

MAX_ITEMS = 1000
MAX_BYTES = 16 * 1024 * 1024
"""Maximum memory of all queued items, in bytes; see `Load.memory_bytes`."""
EVENT_BYTES = 500
"""Memory of a parsed event beside its texts, in bytes."""
MAX_GROUP_ITEMS = 64
MAX_GROUP_EVENTS = 1000
"""Number of events at which a group ends, so that no commit takes long.

A larger item is a group of its own: items of other providers do not wait for it."""
MAX_SHARED_GROUP_EVENTS = 125
"""Number of events at which a group ends while several providers use the queue.

The group must be small, because a report of one provider waits for the group of another
provider. Smaller groups need more commits, so groups are larger while a single provider
uses the queue."""
SHARED_SECONDS = 1.0
"""Time for which the queue counts as shared after an item of another provider than the
item before it, in seconds."""
MAX_TURN_EVENTS = 100
"""Number of events at which the turn of a provider ends."""
SERVER = 0
"""Provider id of the server's own commands."""


class Load(msgspec.Struct, frozen=True):
    """Cost of an item.

    Attributes:
        provider_id: Provider whose request made the item; `SERVER` for the server.
        events: Number of events to store; 0 for a body that is not parsed yet.
        size_bytes: Size of the body of the request.
    """

    provider_id: int = SERVER
    events: int = 1
    size_bytes: int = 0

    @property
    def memory_bytes(self) -> int:
        """Memory of the item, in bytes: the texts of its body and its events."""
        return self.size_bytes + self.events * EVENT_BYTES


class Sharing:
    """Record of whether several providers use a resource at present."""

    def __init__(self) -> None:
        self._latest_provider_id, self._shared_until = SERVER, 0.0

    def note(self, provider_id: int) -> None:
        """Record a use by a provider; the use by the server itself does not count."""
        if provider_id in (SERVER, self._latest_provider_id):
            return
        if self._latest_provider_id != SERVER:
            self._shared_until = time.monotonic() + SHARED_SECONDS
        self._latest_provider_id = provider_id

    @property
    def is_shared(self) -> bool:
        """Whether the provider has changed within `SHARED_SECONDS`."""
        return time.monotonic() < self._shared_until


@dataclass(slots=True)
class _Share(Generic[T]):
    """Queued items of one provider with their costs; at least one.

    Attributes:
        memory_bytes: Total memory of the items.
    """

    items: deque[tuple[T, Load]] = field(default_factory=deque)
    memory_bytes: int = 0


class FairQueue(Generic[T]):
    """Queue that returns the items of all providers in turns; not thread-safe.

    The queue rejects an item if its provider would then have more items than the queue
    has free, or more bytes. So a provider gets at most half of the queue, and space
    remains for other providers. The first item of a provider, and the items of the
    server, need only free space.

    Args:
        max_items: Maximum number of queued items.
        max_bytes: Maximum memory of the queued items, in bytes.
        max_group_items: Maximum number of items of a group.
    """

    def __init__(
        self,
        max_items: int = MAX_ITEMS,
        max_bytes: int = MAX_BYTES,
        *,
        max_group_items: int = MAX_GROUP_ITEMS,
    ) -> None:
        self._free_items, self._free_bytes = max_items, max_bytes
        self._max_group_items = max_group_items
        # Shares by provider, in the order of their turns. A share is late if its first
        # item is large, or if the provider has just had a turn. Early shares come
        # first, so that a single report overtakes the batches of others.
        self._early: dict[int, _Share[T]] = {}
        self._late: dict[int, _Share[T]] = {}
        self._sharing = Sharing()
        # Whether the next group begins with a late turn, because the latest group had
        # no late turn. Otherwise, early turns could make a late provider wait for ever.
        self._is_late_due = False

    def __bool__(self) -> bool:
        return bool(self._early or self._late)

    def __len__(self) -> int:
        shares = (*self._early.values(), *self._late.values())
        return sum(len(share.items) for share in shares)

    def first_items(self) -> list[T]:
        """Return the first item of each provider."""
        shares = (*self._early.values(), *self._late.values())
        return [share.items[0][0] for share in shares]

    @property
    def max_group_events(self) -> int:
        """Number of events at which the next group ends."""
        return MAX_SHARED_GROUP_EVENTS if self._sharing.is_shared else MAX_GROUP_EVENTS

    def add(self, item: T, load: Load) -> bool:
        """Add an item; return False if the queue has no space for it."""
        self._sharing.note(load.provider_id)
        share = self._share_of(load.provider_id)
        if not self._has_space_for(load, share):
            return False
        if share is None:
            turns = self._late if load.events > MAX_TURN_EVENTS else self._early
            share = turns[load.provider_id] = _Share()
        share.items.append((item, load))
        share.memory_bytes += load.memory_bytes
        self._free_items -= 1
        self._free_bytes -= load.memory_bytes
        return True

    def _share_of(self, provider_id: int) -> _Share[T] | None:
        return self._early.get(provider_id) or self._late.get(provider_id)

    def _has_space_for(self, load: Load, share: _Share[T] | None) -> bool:
        free_items = self._free_items - 1
        free_bytes = self._free_bytes - load.memory_bytes
        if share is None or load.provider_id == SERVER:
            return free_items >= 0 and free_bytes >= 0
        memory_bytes = share.memory_bytes + load.memory_bytes
        return len(share.items) < free_items and memory_bytes <= free_bytes

    def next_group(self) -> list[T]:
        """Remove and return the next items, a few items of each provider in turn.

        A group of several items has at most `max_group_events` before its last turn.
        """
        group: list[T] = []
        max_events = self.max_group_events
        events, is_late_waiting = 0, bool(self._late)
        while len(group) < self._max_group_items and (turns := self._next_turns()):
            provider_id, share = next(iter(turns.items()))
            _item, load = share.items[0]
            if group and events + load.events > max_events:
                break
            if turns is self._late:
                is_late_waiting = self._is_late_due = False
            del turns[provider_id]
            events += self._take_turn(share, group)
            if share.items:
                self._late[provider_id] = share
        self._is_late_due = is_late_waiting
        return group

    def _next_turns(self) -> dict[int, _Share[T]]:
        if self._late and (self._is_late_due or not self._early):
            return self._late
        return self._early

    def _take_turn(self, share: _Share[T], group: list[T]) -> int:
        """Move items of a share to a group, at least one; return their events."""
        events = 0
        while share.items and len(group) < self._max_group_items:
            item, load = share.items[0]
            if events and events + load.events > MAX_TURN_EVENTS:
                break
            share.items.popleft()
            self._release(share, load)
            group.append(item)
            events += load.events
        return events

    def _release(self, share: _Share[T], load: Load) -> None:
        share.memory_bytes -= load.memory_bytes
        self._free_items += 1
        self._free_bytes += load.memory_bytes

    def remove(self, item: T, load: Load) -> None:
        """Remove an item; do nothing if the item has left the queue already."""
        for turns in (self._early, self._late):
            share = turns.get(load.provider_id)
            if share is not None and (item, load) in share.items:
                share.items.remove((item, load))
                self._release(share, load)
                if not share.items:
                    del turns[load.provider_id]

    def clear(self) -> list[T]:
        """Remove and return all items."""
        items: list[T] = []
        while group := self.next_group():
            items += group
        return items
