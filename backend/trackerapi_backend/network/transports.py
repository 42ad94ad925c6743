"""Transports of a connection: joined writes, and the last response."""

from __future__ import annotations

import asyncio


class JoinedWrites(asyncio.Transport):
    """Transport that sends the data of one iteration of the event loop at once.

    With separate writes, the head and the body of a response need two system calls.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__()
        self._transport, self._loop = transport, loop
        self._waiting: list[bytes | bytearray | memoryview] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send data at the end of this iteration."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        # uvloop raises for a connection that the client has reset since `write()`.
        if waiting and not self._transport.is_closing():
            self._transport.write(b"".join(waiting))

    def write_eof(self) -> None:
        """Send the end of the stream after all data."""
        self._flush()
        self._transport.write_eof()

    def is_closing(self) -> bool:
        """Return whether the connection is closed, or closes after all data."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Close the connection after all data."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close the connection now; unsent data is lost."""
        self._transport.abort()

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that the system has not taken yet."""
        return self._transport.get_write_buffer_size()


class LastResponse(asyncio.Transport):
    """Transport of the last response on a connection.

    `close()` ends only the direction to the client, and the keep-alive timeout closes
    the connection. Closing a connection with unread bytes resets the connection, and
    the client could lose the response.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send data."""
        self._transport.write(data)

    def is_closing(self) -> bool:
        """Return whether the connection is closed."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Send the end of the stream after all data."""
        if not self._transport.is_closing():
            self._transport.write_eof()
