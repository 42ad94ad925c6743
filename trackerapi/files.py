"""Opening of files that somebody else names: regular files, without waiting.

A pipe that nobody writes to would block the process for ever, and a record that is
written into a pipe is lost. `read_given()` also reads a pipe that somebody writes to,
as the shell's `<(command)` and `/dev/stdin` are.
"""

import errno
import os
import select
import stat
from pathlib import Path
from typing import BinaryIO, Final

from trackerapi.process.clock import steady_seconds

PIPE_SECONDS: Final = 60.0
"""Longest time in which a pipe has to bring its whole content."""

_PIECE_BYTES: Final = 64 * 1024


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


def read_given(path: Path, most_bytes: int) -> bytes:
    """Return the content of a regular file, or of a pipe that somebody writes to.

    Args:
        path: The file or pipe. The content of a pipe can be read once.
        most_bytes: Read so many bytes at most.

    Raises:
        OSError: If it cannot be opened, is a folder, socket or device, or is a pipe
            that is empty or that does not end within `PIPE_SECONDS`.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if stat.S_ISFIFO(status.st_mode):
            return _through_pipe(descriptor, path, most_bytes)
        check_regular(status, path)
        return file.read(most_bytes)


def _through_pipe(descriptor: int, path: Path, most_bytes: int) -> bytes:
    content = bytearray()
    ends = steady_seconds() + PIPE_SECONDS
    readable = select.poll()
    readable.register(descriptor, select.POLLIN)
    while len(content) < most_bytes:
        try:
            piece = os.read(descriptor, min(_PIECE_BYTES, most_bytes - len(content)))
        except BlockingIOError:  # there is a writer, who has not written yet
            left = ends - steady_seconds()
            if left <= 0 or not readable.poll(left * 1000):
                text = f"the pipe did not end within {PIPE_SECONDS:.0f} s"
                raise OSError(errno.ETIMEDOUT, text, str(path)) from None
            continue
        if not piece:
            break
        content += piece
    if not content:
        raise OSError(errno.EINVAL, "a pipe with nothing to read", str(path))
    return bytes(content)
