"""Sockets whose descriptor the job may close, as daemons close all descriptors.

The number of the descriptor may then belong to a file or socket of the job. TLS would
write into that file, and the end of the connection would close it.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, Final
from weakref import WeakSet

from trackerapi.process.descriptors import Descriptor

_STDERR: Final = 2


class TrackedSocket:
    """The socket of a connection.

    Args:
        sock: The socket, just opened; None for a connection without one.
    """

    def __init__(self, sock: Any) -> None:
        self._sock, self._descriptor = sock, None
        with suppress(OSError, AttributeError, ValueError):  # closed already
            self._descriptor = Descriptor(sock.fileno())
        _OPEN.add(self)

    def is_ours(self) -> bool:
        """Return whether the descriptor still belongs to the socket; else detach it.

        After that, neither the pool nor the socket object closes the descriptor.
        """
        if self._descriptor is None or self._descriptor.is_ours:
            return True
        sock, self._sock = self._sock, None
        # asyncio gives a wrapper without `detach()`; the socket is in `_sock`.
        with suppress(OSError, AttributeError):
            if sock.fileno() == self._descriptor.number:
                getattr(sock, "_sock", sock).detach()
        return False


_OPEN: Final[WeakSet[TrackedSocket]] = WeakSet()


def detach_lost_sockets() -> None:
    """Detach each socket whose descriptor belongs to the job by now."""
    for each in list(_OPEN):
        each.is_ours()


@contextmanager
def avoiding_standard_streams() -> Generator[None]:
    """Keep sockets that are opened in the block off the descriptors 0 to 2.

    A program may run with one of them closed: text that C code prints to that
    descriptor would go to the backend.
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
