"""Descriptors of the library that the job may close or replace.

A job may close all descriptors, as daemons do, or replace a descriptor by `dup2()`. The
number of the descriptor may then belong to a file of the job. The library must not
write, read or close that file.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_GONE: Final = -1
_NO_MARK: Final = -1
_FIRST_MARK: Final = 1 << 31


class LostFileError(OSError):
    """The descriptor no longer belongs to the file, or the file was deleted."""


class Descriptor:
    """A descriptor, with the identity of its file.

    Args:
        number: New descriptor; this object closes it.

    Attributes:
        device: Device of the file.
        inode: Number of the file on its device.
        mark: Random file position beyond 2 GiB that identifies the descriptor of an
            outbox file; -1 for no mark. A check by `os.lseek()` takes a third of the
            time of `checked()`.
        number: The unchecked descriptor. Callers use `checked()`, except just after
            a check.
    """

    __slots__ = ("device", "inode", "mark", "number")

    def __init__(self, number: int) -> None:
        found = os.fstat(number)
        self.number, self.mark = number, _NO_MARK
        self.device, self.inode = found.st_dev, found.st_ino

    def checked(self, *, is_kept: bool = False, size: int = 0) -> int:
        """Check that the descriptor belongs to the file; return its number.

        Args:
            is_kept: Whether to check also that the file was not deleted: its data would
                be lost at the close.
            size: Minimum length of the file, in bytes.

        Raises:
            LostFileError: If the descriptor is closed or belongs to another file, or if
                the file is shorter or was deleted.
        """
        number = self.number
        try:
            found = os.fstat(number)
        except OSError:
            raise _lost() from None
        if found.st_ino != self.inode or found.st_dev != self.device:
            raise _lost()
        if found.st_size < size or (is_kept and not found.st_nlink):
            raise _lost()
        return number

    def check_path(self, path: Path, size: int) -> None:
        """Check that the file is still at `path`, with at least `size` bytes.

        Moves the descriptor to `mark`. All reads and writes of the file must therefore
        pass a position.

        Raises:
            LostFileError: If the file was deleted, moved or cut, or the
                descriptor belongs to another file.
        """
        number = self.checked(is_kept=True, size=size)
        if not self.is_at(path):
            raise _lost()
        if self.mark == _NO_MARK:
            mark = _FIRST_MARK | int.from_bytes(os.urandom(4))
            with suppress(OSError):  # the file system limits positions to less
                self.mark = os.lseek(number, mark, os.SEEK_SET)

    @property
    def is_ours(self) -> bool:
        """Whether the descriptor still belongs to its file."""
        try:
            self.checked()
        except LostFileError:
            return False
        return True

    def is_same_file(self, other: "Descriptor") -> bool:
        """Return whether both descriptors belong to the same file."""
        return (self.device, self.inode) == (other.device, other.inode)

    def is_at(self, path: Path) -> bool:
        """Return whether the file is still at `path`; True if `stat()` is refused."""
        try:
            found = os.stat(path)  # noqa: PTH116 - called often, and twice as fast as `Path.stat()`
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # the job has given up its permissions
            return True
        return (found.st_dev, found.st_ino) == (self.device, self.inode)

    def read(self, byte_count: int, position: int, size: int = 0) -> bytes:
        """Return bytes of the file.

        Args:
            byte_count: Maximum number of bytes to return.
            position: Position of the first byte.
            size: Minimum length of the file, in bytes.

        Raises:
            LostFileError: If the descriptor belongs to another file, or the file is
                shorter than `size`.
            OSError: If the bytes cannot be read.
        """
        number = self.checked(size=size)
        data = os.pread(number, byte_count, position)
        # Checked again: another thread may have replaced the descriptor before the
        # read.
        self.checked()
        return data

    def end_of_lines(self, start: int) -> int:
        """Return the end of the last complete line; at least `start`.

        Raises:
            LostFileError: If the descriptor belongs to another file.
        """
        size = os.fstat(self.checked()).st_size
        step = 64 * 1024
        while size > start:
            begin = max(size - step, start)
            cut = self.read(size - begin, begin).rfind(b"\n") + 1
            if cut:
                return begin + cut
            size = begin
        return start

    def close(self) -> None:
        """Close the descriptor, unless it belongs to another file now."""
        if self.is_ours:
            os.close(self.number)
        self.number = _GONE


def _lost() -> LostFileError:
    return LostFileError(errno.EBADF, "the file was closed, deleted, moved or cut")
