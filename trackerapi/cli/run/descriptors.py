"""Descriptors of our own, which never stand in for one of the three streams."""

import fcntl
import os
from typing import Final

_FIRST_FREE: Final = 3


def clear_of_streams(descriptor: int) -> int:
    """Return a descriptor that is none of the three streams, which may be closed."""
    if descriptor >= _FIRST_FREE:
        return descriptor
    clear = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    os.close(descriptor)
    return clear


def open_pipe() -> tuple[int, int]:
    """Return both ends of a new pipe: the one to read, and the one to write.

    Raises:
        OSError: If there are no more descriptors.
    """
    source, target = os.pipe()
    return clear_of_streams(source), clear_of_streams(target)
