"""Time limits of connections: slow clients must free descriptors and memory.

All times are in seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

HEAD_SECONDS = 20.0
"""Time limit for the head of a request and for the first byte of a connection."""
BODY_PAUSE_SECONDS = 30.0
"""Maximum time between two parts of a body."""
BODY_SECONDS = 60.0
"""Time limit for a whole body, even if a client sends single bytes without a pause."""
IDLE_SECONDS = 15.0
"""Maximum time between a response and the next request on its connection.

Longer than the 5 seconds after which httpx closes an idle connection: a server that
closes first may lose a request that the client is sending."""
STALL_SECONDS = 30.0
"""Maximum time in which a client reads none of its unsent data."""
EVICTED_STALL_SECONDS = 5.0
"""Value in place of `STALL_SECONDS` while the maximum number of connections is open."""


class UnsentData:
    """Unsent data of a connection, to find a client that does not read.

    Attributes:
        since: Time of the last read by the client, or of the first unsent data; None
            without unsent data.
    """

    __slots__ = ("_size_bytes", "since")

    def __init__(self) -> None:
        self._size_bytes = 0
        self.since: float | None = None

    def seconds(self, transport: asyncio.WriteTransport, now: float) -> float:
        """Return the time since the last read by the client, in seconds.

        Args:
            transport: Transport of the connection.
            now: Time of `time.monotonic()`.

        Returns:
            Time up to `now`; 0 without unsent data.
        """
        size_bytes = transport.get_write_buffer_size()
        if not size_bytes:
            self.since = None
        elif self.since is None or size_bytes < self._size_bytes:
            self.since = now
        self._size_bytes = size_bytes
        return 0.0 if self.since is None else now - self.since
