"""Open connections of a server: maximum number, time limits and eviction.

One sweep a second checks the time limits of all connections, so that a request needs no
timer of its own.
"""

from __future__ import annotations

import heapq
import resource
import time
from contextlib import suppress
from operator import itemgetter
from typing import TYPE_CHECKING

from trackerapi_backend.settings import SettingsError

if TYPE_CHECKING:
    from trackerapi_backend.network.http_protocol import HttpProtocol

DEFAULT_MAX_CONNECTIONS = 20_000
"""Maximum number of open connections, if the limit of open files allows as many."""
RESERVED_FILES = 256
"""Number of file descriptors reserved for store, log and refused connections.

If the limit of open files is small, half of the limit is reserved."""
SWEEP_SECONDS = 1.0
"""Interval between two checks of all connections, in seconds."""
EVICTED_SHARE = 0.01
"""Share of the maximum number of connections that one search evicts.

A search examines all connections. One search makes room for several new connections, so
that a flood of new connections does not cause a search for each connection."""
SEARCH_PAUSE_SECONDS = 0.1
"""Time after a search without a result until the next search, in seconds."""


class Connections:
    """Open connections of a server.

    Args:
        protocols: Protocols of all open connections, kept up to date by uvicorn.
        max_count: Maximum number of open connections.
    """

    def __init__(self, protocols: set[HttpProtocol], max_count: int) -> None:
        self._protocols, self.max_count = protocols, max_count
        self._sweep_at = self._search_at = 0.0

    def sweep(self) -> None:
        """Check the time limits of all connections, once in `SWEEP_SECONDS`."""
        now = time.monotonic()
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_SECONDS
            for protocol in tuple(self._protocols):
                protocol.check_time(now)

    def abort_stalled(self) -> None:
        """Abort the connections of clients that do not read: unsent data is lost."""
        for protocol in tuple(self._protocols):
            if protocol.flow.write_paused:
                protocol.transport.abort()

    def is_full(self, pending_count: int) -> bool:
        """Return whether the maximum number of connections is open.

        Args:
            pending_count: Number of accepted connections that have no protocol yet.
        """
        return len(self._protocols) + pending_count >= self.max_count

    def make_room(self, pending_count: int) -> bool:
        """Return whether a new connection may be opened; evict others if necessary.

        `HttpProtocol.eviction_order()` selects the connections to evict. A client that
        sends its request at once is served even if other clients open many connections
        and send nothing: the oldest unfinished request is evicted first.

        Args:
            pending_count: Number of accepted connections that have no protocol yet.
        """
        if not self.is_full(pending_count):
            return True
        now = time.monotonic()
        if now < self._search_at:
            return False
        orders = ((each.eviction_order(now), each) for each in self._protocols)
        evicted = heapq.nsmallest(
            max(1, int(self.max_count * EVICTED_SHARE)),
            ((order, each) for order, each in orders if order is not None),
            key=itemgetter(0),
        )
        for _order, protocol in evicted:
            # Remove the protocol now: the event loop removes it only after this call.
            self._protocols.discard(protocol)
            protocol.transport.abort()
        if not evicted:
            self._search_at = now + SEARCH_PAUSE_SECONDS
        return bool(evicted)


def connection_limit(chosen: int | None) -> int:
    """Raise the soft limit of open files; return the maximum number of connections.

    Args:
        chosen: Maximum number that the operator has set; None for the default.

    Raises:
        SettingsError: If the limit of open files does not allow as many connections.
    """
    limit, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems report "unlimited" as the hard limit, but reject it as a soft limit.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
        limit = hard_limit
    if limit == resource.RLIM_INFINITY:
        return chosen or DEFAULT_MAX_CONNECTIONS
    available = limit - min(RESERVED_FILES, limit // 2)
    if chosen is not None and chosen > available:
        raise SettingsError(
            f"--max-connections must be at most {available}, got {chosen}:"
            f" this process may open {limit} files; raise this limit (`ulimit -n`)"
        )
    return chosen or min(DEFAULT_MAX_CONNECTIONS, available)
