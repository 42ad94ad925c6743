"""Acceptor of connections that survives a lack of file descriptors."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

BACKLOG = 2048
"""Maximum number of connections that wait to be accepted."""
PAUSE_SECONDS = 1.0
"""Time until the next attempt to accept while descriptors are used up, in seconds."""
ERROR_INTERVAL_SECONDS = 60.0
"""Minimum interval between two log lines about failed accepts, in seconds."""

_MAX_ACCEPTS = 100
_LACKS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

_log = logging.getLogger(__name__)


class Acceptor:
    """Accepts the connections of a socket on the running event loop.

    uvloop's own server closes its socket for ever if it cannot accept a connection for
    lack of a file descriptor. Here, new connections wait until a descriptor is free.

    Args:
        listener: Listening socket; `close()` closes it.
        new_protocol: Function that returns the protocol of a new connection.
    """

    def __init__(
        self, listener: socket.socket, new_protocol: Callable[[], asyncio.Protocol]
    ) -> None:
        self._listener, self._new_protocol = listener, new_protocol
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._next_error = 0.0
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
        """Accept connections until none waits."""
        for _ in range(_MAX_ACCEPTS):
            try:
                connection, _address = self._listener.accept()
            except OSError as error:
                # Other errors: no connection waits, or the network has lost one.
                if error.errno in _LACKS:
                    self._wait()
                return
            task = self._loop.create_task(self._connect(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._new_protocol, connection)
        except OSError:
            connection.close()  # The client has closed the connection already.

    def _wait(self) -> None:
        """Accept nothing for `PAUSE_SECONDS`, and log the lack of descriptors."""
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(PAUSE_SECONDS, self._resume)
        if time.monotonic() >= self._next_error:
            self._next_error = time.monotonic() + ERROR_INTERVAL_SECONDS
            _log.error(
                "new connections wait, no descriptor is left for them: raise the limit"
                " of open files (`ulimit -n`)"
            )
