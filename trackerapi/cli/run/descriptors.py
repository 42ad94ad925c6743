"""File descriptors of at least 3: 0 to 2 stay reserved for stdin, stdout and stderr."""

import fcntl
import os
from typing import Final

_FIRST_FREE: Final = 3


def move_above_streams(descriptor: int) -> int:
    """Return a descriptor of at least 3; duplicate and close a lower descriptor."""
    if descriptor >= _FIRST_FREE:
        return descriptor
    clear = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    os.close(descriptor)
    return clear


def open_pipe() -> tuple[int, int]:
    """Return the read end and the write end of a new pipe, both at least 3.

    Raises:
        OSError: If the limit of descriptors is reached.
    """
    source, target = os.pipe()
    return move_above_streams(source), move_above_streams(target)
