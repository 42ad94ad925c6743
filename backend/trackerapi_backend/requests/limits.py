"""Limits for keys and providers: rate of requests, and number of running requests.

Each request counts against its key and against the provider of the key: a provider
cannot raise its limit by making tokens. Each process counts only its own requests.
"""

from __future__ import annotations

import asyncio
import heapq
import ipaddress
import logging
import math
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trackerapi_backend.problems import Problem
from trackerapi_backend.settings import RequestLimits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable

    from trackerapi_backend.requests.auth import Caller

BURST_SECONDS = 10
"""Length of a pause after which a bucket is full, in seconds.

A full bucket admits as many requests at once as the rate admits in this time."""
MAX_BUCKETS = 10_000
"""Maximum number of stored buckets of a `Rate`; then the fuller half is deleted."""
RETRY_AFTER_SECONDS = 1
"""`Retry-After` of a request above the limit of running requests, in seconds."""
MAX_WAITING_KEYS = 500
"""Maximum number of keys of an address that wait in `query_turn()`."""
WARNING_SECONDS = 600
"""Minimum interval between two warnings about the same address, in seconds."""

_SECONDS_PER_MINUTE = 60
_NETWORK_BITS = 64
"""Number of leading bits of an IPv6 address that identify a client.

One host can use all values of the other bits."""
_ROUNDING_SECONDS = 1e-6
"""Maximum wait that is a rounding error and counts as no wait, in seconds."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sender:
    """Sender of a request.

    Attributes:
        address: Address of the client; empty if the request came through no network.
        may_be_proxy: Whether the request names another client in `X-Forwarded-For`,
            which the server ignores because the sender is no trusted proxy.
    """

    address: str
    may_be_proxy: bool = False


class Rate:
    """Rate limit of many names, such as keys: one token bucket for each name.

    A name without a stored bucket has all its tokens.

    Args:
        count: Tokens that return to a bucket in `seconds`; 0 for no limit.
        seconds: Time in which `count` tokens return.
    """

    __slots__ = ("_fill_seconds", "_full_at", "_interval")

    def __init__(self, count: int, seconds: float = 1.0) -> None:
        self._interval = seconds / count if count else 0.0
        # Time in which an empty bucket becomes full. A full bucket has at least one
        # token, so the time is at least the interval between two tokens.
        self._fill_seconds = max(BURST_SECONDS, seconds, self._interval)
        # Time at which a bucket has all its tokens again, on the monotonic clock.
        self._full_at: dict[Hashable, float] = {}

    def __len__(self) -> int:
        """Return the number of stored buckets, at most `MAX_BUCKETS`."""
        return len(self._full_at)

    def wait_seconds(self, name: Hashable, now: float, promised: int = 0) -> float:
        """Return the time until the bucket has a token; 0.0 if it has one.

        Args:
            name: Name of the bucket.
            now: Monotonic time, in seconds.
            promised: Number of tokens that running requests may still take.
        """
        full_at = max(self._full_at.get(name, now), now)
        wait = full_at + (promised + 1) * self._interval - self._fill_seconds - now
        return wait if wait > _ROUNDING_SECONDS else 0.0

    def take(self, name: Hashable, now: float) -> None:
        """Take a token.

        Without a token, make the next wait longer: the bucket becomes full in at most
        twice the time that an empty bucket needs.
        """
        if not self._interval:
            return
        full_at = self._full_at.get(name, now)
        if len(self._full_at) >= MAX_BUCKETS:
            self._forget(now)
        latest = now + 2 * self._fill_seconds
        self._full_at[name] = min(max(full_at, now) + self._interval, latest)

    def _forget(self, now: float) -> None:
        """Keep only the emptiest buckets, half of `MAX_BUCKETS`."""
        used = [item for item in self._full_at.items() if item[1] > now]
        emptiest = heapq.nlargest(MAX_BUCKETS // 2, used, key=lambda item: item[1])
        self._full_at = dict(emptiest)


class _Running:
    """Number of running requests by name, such as a key."""

    __slots__ = ("_counts", "_maximum")

    def __init__(self, maximum: int = 0) -> None:
        self._maximum = maximum or math.inf
        self._counts: dict[Hashable, int] = {}

    def count(self, name: Hashable) -> int:
        return self._counts.get(name, 0)

    def is_full(self, name: Hashable) -> bool:
        return self.count(name) >= self._maximum

    def begin(self, name: Hashable) -> None:
        self._counts[name] = self._counts.get(name, 0) + 1

    def end(self, name: Hashable) -> None:
        count = self._counts[name] - 1
        if count:
            self._counts[name] = count
        else:
            del self._counts[name]


class CallLimits:
    """Limits of the requests of this process. Only the event loop calls its methods.

    Args:
        settings: Limits; None for the default limits.
        clock: Function that returns the monotonic time, in seconds.
    """

    def __init__(
        self,
        settings: RequestLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        limits, self._now = settings or RequestLimits(), clock
        self._key_rate = Rate(limits.key_requests_per_second)
        self._provider_rate = Rate(limits.provider_requests_per_second)
        self._key_running = _Running(limits.key_requests_at_once)
        self._provider_running = _Running(limits.provider_requests_at_once)
        self._unknown_keys = Rate(limits.unknown_keys_per_minute, _SECONDS_PER_MINUTE)
        self._queries_at_once = _Running()
        self._waiting_keys = _Running(MAX_WAITING_KEYS)
        self._query_lock = asyncio.Lock()
        self._warnings = Rate(1, WARNING_SECONDS)

    def begin(self, caller: Caller) -> None:
        """Count a request of a caller as running until the call of `end()`.

        Raises:
            Problem: If a limit is reached: the request does not count, so `end()` must
                not be called.
        """
        key_id, provider_id, now = caller.key_id, caller.provider_id, self._now()
        if self._key_running.is_full(key_id):
            raise too_many("This key has too many requests at the same time.")
        if self._provider_running.is_full(provider_id):
            raise too_many("This provider has too many requests at the same time.")
        if wait := self._key_rate.wait_seconds(key_id, now):
            raise too_many("This key sends too many requests.", wait)
        if wait := self._provider_rate.wait_seconds(provider_id, now):
            raise too_many("The keys of this provider send too many requests.", wait)
        self._key_rate.take(key_id, now)
        self._provider_rate.take(provider_id, now)
        self._key_running.begin(key_id)
        self._provider_running.begin(provider_id)

    def end(self, caller: Caller) -> None:
        """End a request that `begin()` has counted."""
        self._key_running.end(caller.key_id)
        self._provider_running.end(caller.provider_id)

    @asynccontextmanager
    async def query_turn(self, sender: Sender) -> AsyncIterator[None]:
        """Wait for the turn to query a key that this process has not accepted before.

        A query begins at once if the address is below its limit of unknown keys. Each
        running query counts against the limit, because its key may be unknown.

        The queries for all addresses at the limit run one after another: a valid key
        from such an address waits for a short time, and guessed keys use only one
        connection of the store.

        Raises:
            Problem: If the address has sent too many unknown keys, and too many of its
                keys wait.
        """
        network, now = network_of(sender.address), self._now()
        running = self._queries_at_once.count(network)
        if not self._unknown_keys.wait_seconds(network, now, running):
            self._queries_at_once.begin(network)
            try:
                yield
            finally:
                self._queries_at_once.end(network)
            return
        if self._unknown_keys.wait_seconds(network, now):
            self._warn(sender, network)
            if self._waiting_keys.is_full(network):
                raise too_many("This address has sent too many unknown keys.")
        self._waiting_keys.begin(network)
        try:
            async with self._query_lock:
                yield
        finally:
            self._waiting_keys.end(network)

    def count_unknown_key(self, sender: Sender) -> None:
        """Count a key that does not exist against the address of its sender."""
        self._unknown_keys.take(network_of(sender.address), self._now())

    def _warn(self, sender: Sender, network: str) -> None:
        """Log a warning about an address, at most one in `WARNING_SECONDS`."""
        now = self._now()
        if self._warnings.wait_seconds(network, now):
            return
        self._warnings.take(network, now)
        hint = (
            "; the server ignores its X-Forwarded-For: if this is the address of a"
            " proxy, name the address with --trusted-proxies"
        )
        _log.warning(
            "%s sends too many unknown keys: keys from this address that are not in the"
            " cache are looked up one after another%s",
            sender.address or "a client without an address",
            hint if sender.may_be_proxy else "",
        )


def too_many(detail: str, wait_seconds: float = RETRY_AFTER_SECONDS) -> Problem:
    """Return the problem of a request that exceeds a limit.

    Args:
        detail: Sentence that names the reached limit.
        wait_seconds: Time until a request is admitted, if no other request comes first.
    """
    headers = {"Retry-After": str(math.ceil(wait_seconds))}
    return Problem("too-many-requests", detail, headers=headers)


def network_of(address: str) -> str:
    """Return the name under which limits count a client with this address.

    Returns:
        Network part of an IPv6 address; IPv4 address of an IPv4 client, also on a
        socket for both versions of IP; other texts unchanged.
    """
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    # The network part of all mapped addresses is the same.
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{int(parsed) >> _NETWORK_BITS:x}"
