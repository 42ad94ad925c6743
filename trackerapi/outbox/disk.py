"""Opening, locking and syncing of files and folders of the outbox."""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from trackerapi.files import open_regular
from trackerapi.outbox.names import RECORDS_SUFFIX

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700

_ROOT: Final = 0
_STDERR: Final = 2
_NO_LOCKS: Final = frozenset(
    {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
)


class NoLocksError(OSError):
    """The file system supports no locks."""


def open_file(path: Path, flags: int) -> int:
    """Open a file that only this user may read; return its descriptor.

    A file that root makes in the outbox of a user belongs to that user: otherwise the
    user's next job could neither read nor deliver it.

    The descriptor is never 0, 1 or 2. In a program that has closed stdout, the file
    could otherwise get number 1, and `print()` would write into the records.

    Raises:
        OSError: If the file cannot be opened, or is a pipe, socket or device.
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
    records = path.with_suffix(RECORDS_SUFFIX)
    owner = (records if records.exists() else path.parent).stat()
    try:
        # O_EXCL fails at a link: `fchown()` through a link in the user's folder would
        # give that user any file of the system.
        fd = open_regular(path, flags | os.O_EXCL, FILE_MODE)
    except FileExistsError:
        if flags & os.O_EXCL:
            raise
        return open_regular(path, flags & ~os.O_CREAT)
    with suppress(OSError):  # fails on a file system without owners
        os.fchown(fd, owner.st_uid, owner.st_gid)
    return fd


def make_folder(folder: Path) -> None:
    """Make a folder and its missing parents.

    A folder that root makes gets the owner of its parent folder.

    Raises:
        OSError: If a folder cannot be made.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    if os.geteuid() != _ROOT:
        return
    for each in reversed(made):
        with suppress(OSError):  # fails on a file system without owners
            owner = each.parent.stat()
            os.chown(each, owner.st_uid, owner.st_gid, follow_symlinks=False)


def try_lock(fd: int) -> bool:
    """Lock a file until `fd` is closed; return False if another process has the lock.

    The kernel releases the lock when the process ends, even by SIGKILL: other processes
    can then claim the file immediately.

    Raises:
        NoLocksError: If the file system supports no locks.
        OSError: If locking fails for another reason.
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


def is_locked(path: Path) -> bool:
    """Return whether a running process has locked a file, to append or to deliver.

    Return False if the file cannot be opened, or the file system supports no locks.
    """
    try:
        fd = open_file(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        # A shared lock: two processes that check at the same time do not mistake each
        # other for the owner. Closing the descriptor releases the lock.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False


def write_whole(fd: int, data: bytes, path: Path) -> None:
    """Write all of `data`, or raise.

    Args:
        fd: Descriptor of the file.
        data: Bytes to write.
        path: Path of the file, for the error.

    Raises:
        OSError: If the disk has no room for all bytes; the file may then have a part of
            `data`.
    """
    if os.write(fd, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def append_lines(path: Path, lines: bytes) -> int:
    """Append complete lines to a file with one write; return its previous size.

    Because of the single write, several processes may append to the same file without a
    lock. A full disk may leave a torn line, which readers skip. The torn line stays in
    the file: another process may have appended a line after it.

    Raises:
        OSError: If the file cannot be opened, or the disk has no room for all lines.
    """
    fd = open_file(path, os.O_CREAT | os.O_RDWR | os.O_APPEND)
    try:
        size = os.fstat(fd).st_size
        # A killed writer may have left half a line: the line feed separates that half
        # from the new lines.
        if size and os.pread(fd, 1, size - 1) != b"\n":
            lines = b"\n" + lines
        write_whole(fd, lines, path)
    finally:
        os.close(fd)
    return size


def sync_folder(folder: Path) -> None:
    """Call `fsync` for a folder: a power failure could lose the names of new files.

    Raises:
        OSError: If `fsync` fails.
    """
    fd = open_file(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
