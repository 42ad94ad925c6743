"""New file that gets its name when its content is complete and on the disk."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Self

from trackerapi_backend.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class NewFile:
    """Private file with the suffix `.new`, which `publish()` renames.

    Leaving the block deletes a file that is not published. A killed process leaves the
    file, and the next process that creates it replaces its content.

    Args:
        path: Name of the published file.

    Attributes:
        file: File open for reading and writing; empty at first.
        fresh: Name of the file until it is published.

    Raises:
        StoreError: If another process writes the file.
        OSError: If the file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.fresh = path, path.with_name(f"{path.name}.new")
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self.file: IO[bytes] = os.fdopen(os.open(self.fresh, flags, 0o600), "r+b")
        if not _lock(self.file, self.fresh):
            self.file.close()
            raise StoreError(f"another command writes {self.fresh}: name another file")
        # The file of a killed process may have other permissions and other content.
        os.fchmod(self.file.fileno(), 0o600)
        self.file.truncate()
        self._is_published = False

    def sync(self) -> None:
        """Write the content to the disk.

        Raises:
            OSError: If the disk fails.
        """
        self.file.flush()
        os.fsync(self.file.fileno())

    def publish(self) -> None:
        """Write the content to the disk; rename the file.

        Raises:
            StoreError: If a file with the name exists.
            OSError: If the disk fails.
        """
        self.sync()
        require_missing(self._path)
        self.fresh.rename(self._path)
        self._is_published = True
        sync_folder(self._path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        # Delete the file before its lock is released: another process may then
        # create a file of this name.
        if not self._is_published:
            self.fresh.unlink(missing_ok=True)
        # After a failed write, closing would write the buffer again and fail again.
        with suppress(OSError):
            self.file.close()


@contextmanager
def new_private_file(path: Path) -> Iterator[IO[bytes]]:
    """Create a file that gets its name at the end of the block; see `NewFile`.

    Raises:
        StoreError: If the file exists, or another process writes it.
        OSError: If the file cannot be written.
    """
    require_missing(path)
    with NewFile(path) as new:
        yield new.file
        new.publish()


def require_missing(path: Path) -> None:
    """Raise StoreError if a file exists."""
    if os.path.lexists(path):
        raise StoreError(f"{path} exists: name a new file")


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk.

    Without this, a crash of the machine could lose the name of a new file.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(file: IO[bytes], path: Path) -> bool:
    """Lock a file; return whether it is the file at `path` and no process had it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The process that had the lock may have renamed or deleted the file.
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except (BlockingIOError, FileNotFoundError):
        return False
