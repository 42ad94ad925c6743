"""Settled position of an outbox file, kept in a file beside it.

All records before the position are settled: delivered, moved to the journal of held
records, or dropped. The position is written after the records are settled, so a crash
can cause a second delivery but never a loss. If the position cannot be read, all
records of the outbox file are delivered again.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from trackerapi.files import read_regular
from trackerapi.outbox.disk import open_file
from trackerapi.process.descriptors import Descriptor, LostFileError

_LINE_BYTES: Final = 160
_UNREADABLE: Final = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledPosition:
    """Settled position of an outbox file.

    Attributes:
        position: End of the settled records, in bytes from the start of the file.
        delivered: Number of records before the position that the backend accepted.
        dropped: Number of damaged records before the position, which are lost.
    """

    position: int
    delivered: int = 0
    dropped: int = 0

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return the position in a file; None if the file is missing or damaged."""
        try:
            state = json.loads(read_regular(path))
            return cls(
                position=int(state["position"]),
                delivered=int(state["delivered"]),
                dropped=int(state.get("dropped", 0)),
            )
        except _UNREADABLE:
            return None

    def as_line(self) -> bytes:
        """Return the position as a line, padded to a fixed length."""
        state = {
            "position": self.position,
            "delivered": self.delivered,
            "dropped": self.dropped,
        }
        return (json.dumps(state).ljust(_LINE_BYTES - 1) + "\n").encode("ascii")


class PositionFile:
    """File with the settled position of one outbox file; made by the first `write()`.

    Args:
        path: Path of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Descriptor | None = None
        self._is_closed = False

    def write(self, settled: SettledPosition) -> None:
        """Write the settled position; do nothing after `close()`.

        Raises:
            OSError: If the position cannot be written.
        """
        if self._is_closed:
            return
        try:
            fd = self._open().checked(is_kept=True)
        except LostFileError:
            # The job has closed the descriptor, or deleted the file: open or make the
            # file again.
            self.close()
            self._is_closed = False
            fd = self._open().checked()
        # One write replaces the old line by a new line of equal length: after a crash,
        # the file has either the old line or the new line.
        os.pwrite(fd, settled.as_line(), 0)

    def close(self) -> None:
        """Close the file; later calls of `write()` do nothing."""
        self._is_closed = True
        if self._file is not None:
            self._file.close()
        self._file = None

    def _open(self) -> Descriptor:
        if self._file is None:
            flags = os.O_CREAT | os.O_WRONLY
            self._file = Descriptor(open_file(self.path, flags))
        return self._file
