"""Opening of files that somebody else names: regular files alone, without waiting.

A pipe that nobody writes to would block the process for ever, and a record that is
written into a pipe is lost.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """Open a regular file; return its descriptor.

    Args:
        path: The file.
        flags: As `os.open()` takes them.
        mode: Permissions of a file that is made.

    Raises:
        OSError: If it cannot be opened, or is a folder, pipe, socket or device.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK, mode)
    try:
        check_regular(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def check_regular(status: os.stat_result, path: Path) -> None:
    """Raise OSError unless `status` is that of a regular file.

    Args:
        status: Of the file.
        path: Its name, for the error.

    Raises:
        OSError: If it is a folder (`IsADirectoryError`), pipe, socket or device.
    """
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def reading(path: Path) -> BinaryIO:
    """Open a regular file for reading, as `path.open("rb")` does.

    Raises:
        OSError: See `open_regular()`.
    """
    return os.fdopen(open_regular(path), "rb")


def read_regular(path: Path, most_bytes: int = -1) -> bytes:
    """Return the content of a regular file.

    Args:
        path: The file.
        most_bytes: Read so many bytes at most; -1 reads all.

    Raises:
        OSError: See `open_regular()`.
    """
    with reading(path) as file:
        return file.read(most_bytes)
