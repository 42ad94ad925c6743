"""Time limits of connections, so that slow clients free descriptors and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

HEAD_SECONDS = 20.0
"""Time limit for the head of a request, and for the first byte of a connection."""
BODY_PAUSE_SECONDS = 30.0
"""Maximum time between two parts of a body."""
BODY_SECONDS = 60.0
"""Time limit for a body, which a client that sends single bytes cannot extend."""
IDLE_SECONDS = 5.0
"""Maximum time between a response and the next request on its connection."""
STALL_SECONDS = 30.0
"""Maximum time in which a client takes nothing of the data that waits for it."""
EVICTED_STALL_SECONDS = 5.0
"""The same while the maximum number of connections is open."""


class UnsentData:
    """Data of a connection that its client does not take.

    Attributes:
        since: Time at which the client has last taken data; None while none waits.
    """

    __slots__ = ("_size_bytes", "since")

    def __init__(self) -> None:
        self._size_bytes = 0
        self.since: float | None = None

    def seconds(self, transport: asyncio.WriteTransport, now: float) -> float:
        """Return for how long the client has taken nothing; 0 if no data waits."""
        size_bytes = transport.get_write_buffer_size()
        if not size_bytes:
            self.since = None
        elif self.since is None or size_bytes < self._size_bytes:
            self.since = now
        self._size_bytes = size_bytes
        return 0.0 if self.since is None else now - self.since
