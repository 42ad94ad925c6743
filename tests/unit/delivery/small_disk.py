"""A disk that runs full: `os.write` takes what there is room for."""

import errno
import os
from pathlib import Path
from typing import Final

import pytest

_WRITE: Final = os.write


class SmallDisk:
    """Bounds what is written to files of one folder.

    Args:
        patch: Puts it in the place of `os.write`.
        folder: Only files in here.

    Attributes:
        room_bytes: How much more is taken; None for no bound.
    """

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.room_bytes: int | None = None
        self._folder = str(folder)
        patch.setattr(os, "write", self._write)

    def _write(self, fd: int, data: bytes) -> int:
        place = str(Path(f"/proc/self/fd/{fd}").readlink())
        if self.room_bytes is None or not place.startswith(self._folder):
            return _WRITE(fd, data)
        taken = data[: self.room_bytes]
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room_bytes -= len(taken)
        return _WRITE(fd, taken)
