"""File of a SQLite database: lock, identity, free space on its disk."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from trackerapi_backend.store import StoreError, StoreInUse

if TYPE_CHECKING:
    from pathlib import Path

MIN_FREE_BYTES = 64 * 1024 * 1024
MIN_FREE_SHARE = 0.02

_Identity = tuple[int, int]

_MIB = 1024 * 1024
_READ_VERSION_OFFSET = 19
_LOG_VERSION = b"\x02"
"""Version in the header of a SQLite file whose journal is a write-ahead log."""
_LOCKED_BYTE = 0x4000_1000
"""Offset of the byte that this module locks, behind the bytes that SQLite locks.

SQLite locks only the 512 bytes that begin at 1 GiB.
"""

# Identities of the files that this process has open. When a process closes any
# descriptor of a file, the system releases all POSIX locks of the process on the file,
# including the locks of SQLite. So a process must not open its database file twice.
_in_use: set[_Identity] = set()


class DatabaseFile:
    """Locked database file.

    On Linux, the lock is on the file itself, so a second process is rejected under
    every name of the file. Elsewhere, the lock is on `NAME.lock` in the same folder.

    Args:
        path: Path of the file; its folder must exist.
        create: Whether to create a missing file.

    Attributes:
        path: Path of the file with symbolic links resolved.

    Raises:
        StoreError: If the file is missing, another process uses the file, or the path
            is not a regular file that can be written.
    """

    def __init__(self, path: Path, *, create: bool) -> None:
        try:
            self.path = path.resolve()
            if _identity(self.path) in _in_use:
                raise _in_use_error(path)
            descriptor, self._identity = _open(self.path, create=create)
            self._descriptor = _lock(descriptor, self.path)
        except BlockingIOError:
            raise _in_use_error(path) from None
        # `resolve()` raises RuntimeError for a cycle of symbolic links.
        except (OSError, RuntimeError) as error:
            is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
            if is_missing and not create:
                raise StoreError(
                    f"there is no database {path}: name an existing file, or create a"
                    " database with `trackerapi-backend migrate`"
                ) from None
            reason = getattr(error, "strerror", error)
            raise StoreError(
                f"{path} cannot be written ({reason}): name a writable file with"
                " --database, TRACKERAPI_BACKEND_DATABASE or --data-dir"
            ) from None
        _in_use.add(self._identity)
        self._parts: dict[Path, _Identity | None] = {self.path: self._identity}

    def record_log_identity(self) -> None:
        """Record the identity of the write-ahead log, once SQLite has created it."""
        log = self.path.with_name(f"{self.path.name}-wal")
        self._parts[log] = _identity(log)

    def require_unchanged(self) -> None:
        """Raise StoreError if the file or its log was moved, replaced or deleted.

        SQLite would continue to write to the old file, and the data would be lost.
        """
        for part, identity in self._parts.items():
            if _identity(part) != identity:
                raise StoreError(
                    f"{part} was moved, replaced or deleted while it was in use:"
                    " put it back, or restart the server",
                    cause="the database file was moved, replaced or deleted",
                )

    def shortage(self) -> str | None:
        """Return a sentence if the disk has too little free space, else None."""
        return disk_shortage(self.path.parent)

    def size_bytes(self) -> int:
        """Return the size of the file and of its write-ahead log, in bytes.

        A file that does not exist counts as empty.
        """
        size_bytes = 0
        for part in self._parts:
            with suppress(OSError):
                size_bytes += part.stat().st_size
        return size_bytes

    def close(self) -> None:
        """Release the lock.

        SQLite must have closed the file before: closing the descriptor would release
        the locks of SQLite too.
        """
        os.close(self._descriptor)
        _in_use.discard(self._identity)


def disk_shortage(folder: Path) -> str | None:
    """Return a sentence if the disk of a folder is nearly full, else None."""
    try:
        system = os.statvfs(folder)
    except OSError as error:
        return f"The free space is not known ({error.strerror})."
    free = system.f_bavail * system.f_frsize
    share = int(system.f_blocks * system.f_frsize * MIN_FREE_SHARE)
    needed = max(MIN_FREE_BYTES, share)
    if free >= needed:
        return None
    return (
        f"Only {free // _MIB} MiB are free for the database;"
        f" it needs {needed // _MIB} MiB."
    )


def has_log(path: Path) -> bool:
    """Return whether a SQLite file has the journal that `serve` uses, a log.

    Call this only while the process has no connection to the file: the end of the call
    releases the locks of SQLite.
    """
    with path.open("rb") as file:
        header = file.read(_READ_VERSION_OFFSET + 1)
    return header[_READ_VERSION_OFFSET:] == _LOG_VERSION


def create_private_file(path: Path) -> None:
    """Create a file that only its owner may read, unless the file exists.

    SQLite copies the permissions of a database to the files that it creates beside it.
    """
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


def _open(path: Path, *, create: bool) -> tuple[int, _Identity]:
    """Open a database file; return its descriptor and its identity."""
    if path.is_dir():
        raise StoreError(f"{path} is a folder: name a file in it")
    # Without O_NONBLOCK, opening a pipe could wait for its other end for ever.
    flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags | (os.O_CREAT if create else 0), 0o600)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode):
        return descriptor, (status.st_dev, status.st_ino)
    os.close(descriptor)
    raise StoreError(f"{path} is not a regular file: name another file")


def _lock(descriptor: int, path: Path) -> int:
    """Lock an open database file; return the descriptor that has the lock.

    Raises:
        BlockingIOError: If another process has the lock.
    """
    try:
        if hasattr(fcntl, "F_OFD_SETLK"):
            # The lock belongs to the open file description: unlike a POSIX lock, this
            # lock stays when another descriptor of the file is closed. The lock covers
            # one byte that SQLite does not use. Network file systems turn a `flock`
            # into a lock on all bytes, which would keep SQLite from locking its own
            # bytes.
            lock = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, _LOCKED_BYTE, 1, 0)
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
            return descriptor
    except OSError:
        os.close(descriptor)
        raise
    # Without F_OFD_SETLK (outside Linux), no lock on the database file is safe: SQLite
    # would release a POSIX lock when it closes the file, and a `flock` could block the
    # locks of SQLite. So this function locks a file in the same folder instead.
    os.close(descriptor)
    lock_path = path.with_name(f"{path.name}.lock")
    descriptor = os.open(lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _in_use_error(path: Path) -> StoreInUse:
    return StoreInUse(
        f"{path} is in use by another trackerapi-backend: stop the other process"
        " first, or choose another folder or database",
        path,
    )


def _identity(path: Path) -> _Identity | None:
    """Return device and inode of the file at `path`; None if there is no file."""
    try:
        status = os.stat(path)  # noqa: PTH116 -- `Path.stat()` needs twice the time
    except OSError:
        return None
    return status.st_dev, status.st_ino
