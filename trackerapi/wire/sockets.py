"""Sockets that the job may take away: it may close all descriptors, as daemons do.

The number of a socket then means a file or a socket of the job. TLS would write into
it, and the end of the connection would close it.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, Final
from weakref import WeakSet

from trackerapi.delivery.descriptor import Descriptor

_STDERR: Final = 2


class OwnSocket:
    """The socket of a connection.

    Args:
        sock: The socket, just opened; None where a connection has none.
    """

    def __init__(self, sock: Any) -> None:
        self._sock, self._descriptor = sock, None
        with suppress(OSError, AttributeError, ValueError):  # closed already
            self._descriptor = Descriptor(sock.fileno())
        _OPEN.add(self)

    def is_ours(self) -> bool:
        """Return whether the number means the socket still; if not, let go of it.

        From then on nobody closes the number: neither the pool nor the socket itself.
        """
        if self._descriptor is None or self._descriptor.is_ours:
            return True
        sock, self._sock = self._sock, None
        # What asyncio shows of a socket is a wrapper without `detach()`.
        with suppress(OSError, AttributeError):
            if sock.fileno() == self._descriptor.number:
                getattr(sock, "_sock", sock).detach()
        return False


_OPEN: Final[WeakSet[OwnSocket]] = WeakSet()


def let_go_of_foreign() -> None:
    """Let no socket be closed by its number that means something else by now."""
    for each in list(_OPEN):
        each.is_ours()


@contextmanager
def above_streams() -> Generator[None]:
    """Open no socket as one of the first three descriptors within the block.

    Where a program runs with one of them closed, what C code prints there would go to
    the backend.
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
