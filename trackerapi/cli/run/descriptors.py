"""Descriptors above those of stdin, stdout and stderr, even if a stream is closed."""

import fcntl
import os
from typing import Final

_FIRST_FREE: Final = 3


def move_above_streams(descriptor: int) -> int:
    """Return the descriptor, moved above the numbers of the three streams."""
    if descriptor >= _FIRST_FREE:
        return descriptor
    clear = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    os.close(descriptor)
    return clear


def open_pipe() -> tuple[int, int]:
    """Return the read end and the write end of a new pipe.

    Raises:
        OSError: If the limit of descriptors is reached.
    """
    source, target = os.pipe()
    return move_above_streams(source), move_above_streams(target)
