"""Acceptor of connections that survives a lack of file descriptors."""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from trackerapi_backend.problems import unavailable
from trackerapi_backend.store.schema import compact_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from trackerapi_backend.network.connections import Connections

BACKLOG = 2048
"""Maximum number of connections that wait to be accepted."""
PAUSE_SECONDS = 1.0
"""Time until the next attempt to accept after an error, in seconds."""
LOG_INTERVAL_SECONDS = 1.0
"""Minimum interval between two log lines about the same error, in seconds."""
REFUSED_SECONDS = 2.0
"""Time for the client of a refused connection to read the response, in seconds."""
MAX_REFUSED = 100
"""Maximum number of refused connections that stay open for their clients."""

_MAX_ACCEPTS = 100
# No file descriptor or no memory is left.
_RESOURCE_ERRORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
# Errors of one connection: the next connection may be accepted at once.
_CONNECTION_ERRORS = {
    *(errno.ECONNABORTED, errno.EPROTO, errno.ETIMEDOUT, errno.EPERM),
    *(errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH),
}

_log = logging.getLogger(__name__)


class Acceptor:
    """Accepts the connections of a socket on the running event loop.

    uvloop's own server closes its socket for ever if it cannot accept a connection for
    lack of a file descriptor. With this class, new connections wait until a descriptor
    is free.

    Args:
        listener: Listening socket; `close()` closes it.
        new_protocol: Function that returns the protocol of a new connection.
        connections: Open connections, with their maximum number; None for no maximum.
    """

    def __init__(
        self,
        listener: socket.socket,
        new_protocol: Callable[[], asyncio.Protocol],
        connections: Connections | None = None,
    ) -> None:
        self._listener, self._connections = listener, connections
        self._new_protocol = new_protocol
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._next_log_at: dict[object, float] = {}
        # Open refused connections, in the order of their refusal.
        self._refused: dict[socket.socket, None] = {}
        # The event loop has only weak references to tasks.
        self._tasks: set[asyncio.Task[None]] = set()
        listener.setblocking(False)
        self._resume()

    def close(self) -> None:
        """Accept no more connections."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    def _resume(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        """Accept waiting connections, at most `_MAX_ACCEPTS`."""
        connections = self._connections
        for _ in range(_MAX_ACCEPTS):
            pending_count = len(self._tasks)
            if connections and pending_count and connections.is_full(pending_count):
                # A pending connection cannot be evicted, so wait for its protocol.
                # Otherwise a burst of silent connections would cause a 503 for others.
                return
            try:
                connection, _address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._handle(error)
                return
            if connections and not connections.make_room(pending_count):
                self._refuse(connection, connections.max_count)
                continue
            task = self._loop.create_task(self._connect(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._new_protocol, connection)
        except OSError:
            connection.close()  # The client has closed the connection already.

    def _refuse(self, connection: socket.socket, max_count: int) -> None:
        """Answer 503 before the request is read, and close the connection later.

        Closing a connection with unread bytes resets the connection, and the client
        could lose the response.
        """
        self._log(
            "refused",
            f"new connections get 503, all {max_count} connections"
            " are busy: raise --max-connections, or start another server",
        )
        connection.setblocking(False)
        with suppress(OSError):
            connection.send(_refusal())
            connection.shutdown(socket.SHUT_WR)
        if len(self._refused) >= MAX_REFUSED:
            self._end_refused(next(iter(self._refused)))
        self._refused[connection] = None
        self._loop.call_later(REFUSED_SECONDS, self._end_refused, connection)

    def _end_refused(self, connection: socket.socket) -> None:
        self._refused.pop(connection, None)
        connection.close()

    def _handle(self, error: OSError) -> None:
        """Log an error of `accept()`; after most errors, accept nothing for a while."""
        number = error.errno or 0
        if number in _RESOURCE_ERRORS:
            message = (
                "new connections wait, no descriptor is left for them: raise the limit"
                " of open files (`ulimit -n`)"
            )
        else:
            message = f"a connection could not be accepted ({error.strerror})"
        self._log(number, message)
        if number not in _CONNECTION_ERRORS:
            self._loop.remove_reader(self._listener)
            self._pause = self._loop.call_later(PAUSE_SECONDS, self._resume)

    def _log(self, kind: object, message: str) -> None:
        """Log an error, at most once in `LOG_INTERVAL_SECONDS` for each kind."""
        now = time.monotonic()
        if now >= self._next_log_at.get(kind, 0.0):
            self._next_log_at[kind] = now + LOG_INTERVAL_SECONDS
            _log.error(message)


def _refusal() -> bytes:
    """Return a response with status 503 and a problem document."""
    request_id = f"{random.getrandbits(64):016x}"
    problem = unavailable("The server has too many connections.")
    body = compact_json(problem.document(request_id)).encode()
    return (
        "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n"
        f"content-type: application/problem+json\r\ncontent-length: {len(body)}\r\n"
        f"retry-after: {problem.headers['Retry-After']}\r\n"
        f"x-request-id: {request_id}\r\ncache-control: no-store\r\n\r\n"
    ).encode() + body
