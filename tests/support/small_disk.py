"""Simulation of a disk that runs full."""

import errno
import os
from pathlib import Path
from typing import Final

import pytest

_WRITE: Final = os.write
_PWRITE: Final = os.pwrite


class SmallDisk:
    """Replacement of `os.write` and `os.pwrite` with limited space for one folder.

    Args:
        patch: Monkeypatch that installs the replacement.
        folder: Folder with limited space.

    Attributes:
        room_bytes: Remaining space in bytes; None for no limit.
    """

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.room_bytes: int | None = None
        self._folder = str(folder)
        patch.setattr(os, "write", self._write)
        patch.setattr(os, "pwrite", self._pwrite)

    def _write(self, fd: int, data: bytes) -> int:
        return _WRITE(fd, self._taken(fd, data))

    def _pwrite(self, fd: int, data: bytes, position: int) -> int:
        return _PWRITE(fd, self._taken(fd, data), position)

    def _taken(self, fd: int, data: bytes) -> bytes:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        # The file of the position is overwritten in place, which needs no space.
        is_bounded = str(path).startswith(self._folder) and path.suffix != ".ack"
        if self.room_bytes is None or not is_bounded:
            return data
        taken = data[: self.room_bytes]
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room_bytes -= len(taken)
        return taken
