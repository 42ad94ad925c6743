"""Regular files: pipes, devices and folders are rejected without blocking."""

from __future__ import annotations

import errno
import os
import stat
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def open_regular_file(path: Path) -> IO[bytes]:
    """Open a regular file for reading.

    Raises:
        OSError: If the file cannot be opened or is not a regular file.
    """
    # Without O_NONBLOCK, opening a pipe would wait for a writer, possibly for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
    raise OSError(number, "not a regular file", str(path))
