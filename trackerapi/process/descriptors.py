"""Descriptors that stay open while a job runs, although the job may close them.

A job may close all descriptors, as daemons do, or replace one by `dup2()`. The number
then belongs to a file of the job, which must not be written, read or closed here.
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
    """A descriptor with the file that it was opened for.

    Args:
        number: The descriptor, just opened; this object closes it.

    Attributes:
        device: Device of the file.
        inode: Number of the file on its device.
        mark: Random position beyond 2 GiB at which the descriptor of an outbox file
            stands, unlike any other; -1 for none. `os.lseek()` looks at it in a third
            of the time of `checked()`.
        number: The descriptor; use `checked()` unless it was checked a moment ago.
    """

    __slots__ = ("device", "inode", "mark", "number")

    def __init__(self, number: int) -> None:
        found = os.fstat(number)
        self.number, self.mark = number, _NO_MARK
        self.device, self.inode = found.st_dev, found.st_ino

    def checked(self, *, is_kept: bool = False, size: int = 0) -> int:
        """Return the number of the descriptor.

        Args:
            is_kept: Whether the file must have a name, without which writes are lost.
            size: Length that the file must have at least.

        Raises:
            LostFileError: If the descriptor is closed or belongs to another file, or
                somebody has cut the file.
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

    def check_place(self, path: Path, size: int) -> None:
        """Check that the file still lies at `path`, with at least `size` bytes.

        Sets `mark`, so use it only for files that are read and written at positions
        given in each call.

        Raises:
            LostFileError: If it was deleted, moved or cut, or the descriptor belongs
                to another file.
        """
        number = self.checked(is_kept=True, size=size)
        if not self.is_at(path):
            raise _lost()
        if self.mark == _NO_MARK:
            mark = _FIRST_MARK | int.from_bytes(os.urandom(4))
            with suppress(OSError):  # a file system whose files are smaller
                self.mark = os.lseek(number, mark, os.SEEK_SET)

    @property
    def is_ours(self) -> bool:
        """Whether the descriptor still belongs to the file that it was opened for."""
        try:
            self.checked()
        except LostFileError:
            return False
        return True

    def is_same_file(self, other: "Descriptor") -> bool:
        """Return whether both descriptors were opened for the same file."""
        return (self.device, self.inode) == (other.device, other.inode)

    def is_at(self, path: Path) -> bool:
        """Return whether the file still lies at `path`; True if stat() is refused."""
        try:
            found = os.stat(path)  # noqa: PTH116 - often, and half the cost
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # the job has given up the right to look
            return True
        return (found.st_dev, found.st_ino) == (self.device, self.inode)

    def read(self, byte_count: int, position: int, size: int = 0) -> bytes:
        """Return bytes of the file.

        Args:
            byte_count: How many.
            position: Of the first one.
            size: Length that the file must have at least.

        Raises:
            LostFileError: If the descriptor belongs to another file, or somebody has
                cut the file.
            OSError: If the bytes cannot be read.
        """
        number = self.checked(size=size)
        data = os.pread(number, byte_count, position)
        # Once more: another thread may have closed it in between.
        self.checked()
        return data

    def end_of_lines(self, start: int) -> int:
        """Return the position behind the last whole line; at least `start`.

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
        """Close the descriptor, unless it belongs to another file by now."""
        if self.is_ours:
            os.close(self.number)
        self.number = _GONE


def _lost() -> LostFileError:
    return LostFileError(errno.EBADF, "the file was closed, deleted, moved or cut")
