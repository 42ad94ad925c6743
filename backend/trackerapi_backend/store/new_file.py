"""New file that gets its final name once its whole content is on the disk."""

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
    """Private file with the suffix `.new`, until `publish()` renames the file.

    The end of the `with` block deletes an unpublished file. A killed process leaves its
    file; the next `NewFile` for the same path replaces the content of that file.

    Args:
        path: Final path of the file.

    Attributes:
        file: File open for reading and writing; empty at first.
        fresh: Path of the file before `publish()`.

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
        # A file left by a killed process may have other permissions and some content.
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
        """Write the content to the disk; rename the file to its final path.

        Raises:
            StoreError: If a file with the final path exists.
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
        # Delete the file before close() releases the lock: after the release, another
        # process may create a file with the same name.
        if not self._is_published:
            self.fresh.unlink(missing_ok=True)
        # After a failed write, close() writes the buffer again, and fails again.
        with suppress(OSError):
            self.file.close()


@contextmanager
def new_private_file(path: Path) -> Iterator[IO[bytes]]:
    """Create a file that gets its final name at the end of the block; see `NewFile`.

    Raises:
        StoreError: If the file exists, or another process writes the file.
        OSError: If the file cannot be written.
    """
    require_missing(path)
    with NewFile(path) as new:
        yield new.file
        new.publish()


def require_missing(path: Path) -> None:
    """Raise StoreError if a file, a folder or a symbolic link has this path."""
    if os.path.lexists(path):
        raise StoreError(f"{path} exists: name a new file")


def sync_folder(folder: Path) -> None:
    """Write the file names in a folder to the disk.

    Without this, a crash of the machine could lose the name of a new file.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(file: IO[bytes], path: Path) -> bool:
    """Lock a file; return whether it is locked now and is still the file at `path`."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The process that had the lock may have renamed or deleted the file.
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except (BlockingIOError, FileNotFoundError):
        return False
