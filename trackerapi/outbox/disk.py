"""How files of the outbox are opened, locked and brought to the disk itself."""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from trackerapi.files import open_regular

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
DELIVERED: Final = "delivered"
"""Folder below the outbox for files of which all is delivered."""

_ROOT: Final = 0
_STDERR: Final = 2
_NO_LOCKS: Final = frozenset(
    {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
)


class NoLocksError(OSError):
    """The file system gives no locks."""


def open_file(path: Path, flags: int) -> int:
    """Open a file that only this user may read; return its descriptor.

    A file that root makes in the outbox of a user belongs to that user: else the
    user's next job could neither read nor deliver it.

    Never one of the first three: where a program runs with one of them closed, what
    it prints there must not get among the records.

    Raises:
        OSError: If it cannot be opened, or is a pipe, socket or device.
    """
    fd = _open(path, flags)
    if fd > _STDERR:
        return fd
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _STDERR + 1)
    finally:
        os.close(fd)


def _open(path: Path, flags: int) -> int:
    if flags & os.O_DIRECTORY:
        return os.open(path, flags)
    if os.geteuid() != _ROOT or not flags & os.O_CREAT:
        return open_regular(path, flags, FILE_MODE)
    records = path.with_suffix(".outbox")
    owner = (records if records.exists() else path.parent).stat()
    try:
        # Exclusive: a link that somebody put there must not get another owner.
        fd = open_regular(path, flags | os.O_EXCL, FILE_MODE)
    except FileExistsError:
        if flags & os.O_EXCL:
            raise
        return open_regular(path, flags & ~os.O_CREAT)
    with suppress(OSError):  # a file system without owners
        os.fchown(fd, owner.st_uid, owner.st_gid)
    return fd


def make_folder(folder: Path) -> None:
    """Make a folder and its parents; those that root makes get the owner above them.

    Raises:
        OSError: If it cannot be made.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    if os.geteuid() != _ROOT:
        return
    for each in reversed(made):
        with suppress(OSError):  # a file system without owners
            owner = each.parent.stat()
            os.chown(each, owner.st_uid, owner.st_gid, follow_symlinks=False)


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


def write_whole(fd: int, data: bytes) -> None:
    """Write all of `data`, or raise.

    Raises:
        OSError: If the disk has no room for all of it; part of it may be written.
    """
    if os.write(fd, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def sync_folder(folder: Path) -> None:
    """Bring the name of a new file to the disk, without which its records are lost.

    Raises:
        OSError: If the disk refuses.
    """
    fd = open_file(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
