"""Log file that is opened again after a rename, such as by logrotate."""

from __future__ import annotations

import errno
import logging
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)


class LogFile:
    """File of a log. Several processes may append to one file.

    Only its owner can read a new file. An existing file must be empty or begin
    with `{`, as a log does: a wrong path must not change another file. A symbolic link
    is rejected: another user of the folder could direct the log to another file.

    Args:
        path: Path of the file; its folder must exist.

    Raises:
        OSError: If the file cannot be opened, or is not a log.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._is_lost = path, False
        self._descriptor = _open(path)
        self._identity = _identity_of(os.fstat(self._descriptor))

    def write(self, text: str) -> None:
        """Append lines. If the file was renamed or deleted, first open a new file.

        Raises:
            OSError: If the file cannot be written, for example on a full disk.
        """
        if not self._is_in_place():
            self._open_again()
        data = text.encode()
        while data:
            data = data[os.write(self._descriptor, data) :]

    def flush(self) -> None:
        """Do nothing: `write()` has passed all lines to the system."""

    def _is_in_place(self) -> bool:
        try:
            status = os.stat(self._path, follow_symlinks=False)  # noqa: PTH116 -- faster
        except OSError:
            return False
        return _identity_of(status) == self._identity

    def _open_again(self) -> None:
        """Open the file at the path; if opening fails, keep the renamed file."""
        try:
            descriptor = _open(self._path)
        except OSError as error:
            if not self._is_lost:
                # Set the flag first: this file writes the warning too.
                self._is_lost = True
                _log.warning(
                    "the log goes to the renamed file: %s cannot be opened (%s)",
                    self._path,
                    error.strerror,
                )
            return
        os.close(self._descriptor)
        self._descriptor, self._is_lost = descriptor, False
        self._identity = _identity_of(os.fstat(descriptor))


def _open(path: Path) -> int:
    # Without O_NONBLOCK, opening a pipe would wait for its reader for ever.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symbolic link") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        reason = "it is not a regular file"
    elif os.pread(descriptor, 1, 0) not in (b"", b"{"):
        reason = "it has other content than a log"
    else:
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, reason)


def _identity_of(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
