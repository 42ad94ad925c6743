"""Functions that open files from arguments and settings.

The functions open only regular files: `open()` of a pipe without a writer blocks the
process for ever, and a record that is written into a pipe is lost. `read_given()` also
reads a pipe with a writer, such as the shell's `<(command)` or `/dev/stdin`.
"""

import errno
import os
import select
import stat
from pathlib import Path
from typing import BinaryIO, Final

from trackerapi.process.clock import steady_seconds

PIPE_SECONDS: Final = 60.0
"""Maximum wait for the whole content of a pipe, in seconds."""

_PIECE_BYTES: Final = 64 * 1024


def open_regular(path: Path, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """Open a regular file; return its descriptor.

    Args:
        path: The file.
        flags: Flags of `os.open()`.
        mode: Permissions of a new file.

    Raises:
        OSError: If the file cannot be opened, or is a folder, pipe, socket or device.
    """
    # Non-blocking: `open()` of a pipe would wait for a writer.
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
        status: Result of `os.fstat()` of the file.
        path: Path of the file, for the error.

    Raises:
        OSError: If the file is a folder (`IsADirectoryError`), pipe, socket or device.
    """
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def open_for_reading(path: Path) -> BinaryIO:
    """Open a regular file for reading, as `path.open("rb")` does.

    Raises:
        OSError: See `open_regular()`.
    """
    return os.fdopen(open_regular(path), "rb")


def read_regular(path: Path, max_bytes: int = -1) -> bytes:
    """Return the content of a regular file.

    Args:
        path: The file.
        max_bytes: Maximum number of bytes to read; -1 reads all.

    Raises:
        OSError: See `open_regular()`.
    """
    with open_for_reading(path) as file:
        return file.read(max_bytes)


def read_given(path: Path, max_bytes: int) -> bytes:
    """Return the content of a regular file, or of a pipe with a writer.

    Blocks for up to `PIPE_SECONDS` while the writer of a pipe writes.

    Args:
        path: The file or pipe. The content of a pipe can be read once.
        max_bytes: Maximum number of bytes to read.

    Raises:
        OSError: If the file cannot be opened, or is a folder, socket or device. Also
            for a pipe that is empty or does not end within `PIPE_SECONDS`.
    """
    # Non-blocking: `open()` of a pipe would wait for a writer, without a limit.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if stat.S_ISFIFO(status.st_mode):
            return _through_pipe(descriptor, path, max_bytes)
        check_regular(status, path)
        return file.read(max_bytes)


def _through_pipe(descriptor: int, path: Path, max_bytes: int) -> bytes:
    content = bytearray()
    ends = steady_seconds() + PIPE_SECONDS
    readable = select.poll()
    readable.register(descriptor, select.POLLIN)
    while len(content) < max_bytes:
        try:
            piece = os.read(descriptor, min(_PIECE_BYTES, max_bytes - len(content)))
        except BlockingIOError:  # The writer has not written yet.
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
