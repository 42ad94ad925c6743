"""How files of the outbox are opened, locked and brought to the disk itself."""

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700

_STDERR: Final = 2
_NO_LOCKS: Final = frozenset(
    {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
)


class NoLocksError(OSError):
    """The file system gives no locks."""


def open_file(path: Path, flags: int) -> int:
    """Open a file that only this user may read; return its descriptor.

    Never one of the first three: where a program runs with one of them closed, what
    it prints there must not get among the records.

    Raises:
        OSError: If it cannot be opened.
    """
    fd = os.open(path, flags, FILE_MODE)
    if fd > _STDERR:
        return fd
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _STDERR + 1)
    finally:
        os.close(fd)


def try_lock(fd: int) -> bool:
    """Lock a file until it is closed; return whether nobody else has it.

    Raises:
        NoLocksError: If the file system gives no locks.
        OSError: If it fails otherwise.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise NoLocksError(*error.args) from error
        raise
    return True


def sync_folder(folder: Path) -> None:
    """Bring the name of a new file to the disk, without which its records are lost.

    Raises:
        OSError: If the disk refuses.
    """
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
