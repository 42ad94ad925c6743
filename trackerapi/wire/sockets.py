"""Sockets whose descriptor the script may close without the knowledge of the library.

A script that becomes a daemon closes all descriptors. Then the script may open a file
or socket that gets the same descriptor number. TLS would then
write into that file, and closing the connection would close that file.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, Final
from weakref import WeakSet

from trackerapi.process.descriptors import Descriptor

_STDERR: Final = 2


class TrackedSocket:
    """Socket of a connection, with a check whether it still owns its descriptor.

    Args:
        sock: The socket, just opened; None for a connection without a socket.
    """

    def __init__(self, sock: Any) -> None:
        self._sock, self._descriptor = sock, None
        with suppress(OSError, AttributeError, ValueError):  # The socket is closed.
            self._descriptor = Descriptor(sock.fileno())
        _OPEN.add(self)

    def is_ours(self) -> bool:
        """Return whether the descriptor belongs to the socket; detach a lost socket.

        A detached socket object does not close the descriptor any more.
        """
        if self._descriptor is None or self._descriptor.is_ours:
            return True
        sock, self._sock = self._sock, None
        # asyncio gives a wrapper without `detach()`, with the socket in `_sock`.
        with suppress(OSError, AttributeError):
            if sock.fileno() == self._descriptor.number:
                getattr(sock, "_sock", sock).detach()
        return False


_OPEN: Final[WeakSet[TrackedSocket]] = WeakSet()


def detach_lost_sockets() -> None:
    """Detach each socket whose descriptor the job has closed or replaced."""
    for each in list(_OPEN):
        each.is_ours()


@contextmanager
def avoiding_standard_streams() -> Generator[None]:
    """Keep sockets that are opened in the context off the descriptors 0 to 2.

    A program may run with one of these descriptors closed. A socket with such a number
    would send the output of C code to the backend.
    """
    held: list[Descriptor] = []
    try:
        for number in range(_STDERR + 1):
            try:
                os.fstat(number)
            except OSError:
                with suppress(OSError):
                    held.append(Descriptor(os.open(os.devnull, os.O_RDWR)))
        yield
    finally:
        for each in held:
            each.close()
