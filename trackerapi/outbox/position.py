"""The position up to which an outbox file is settled, in a file beside it.

Written after the fact, in place, so that a crash can cause a second delivery but
never a loss. What cannot be read counts as nothing settled.
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
class Settled:
    """How far an outbox file is settled.

    Attributes:
        position: Bytes from its begin.
        delivered: Records before it that the backend has taken.
        dropped: Records before it that are gone.
    """

    position: int
    delivered: int = 0
    dropped: int = 0

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return what a file says; None if it is missing or says nothing usable."""
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
        """Return it as a line that is always as long."""
        state = {
            "position": self.position,
            "delivered": self.delivered,
            "dropped": self.dropped,
        }
        return (json.dumps(state).ljust(_LINE_BYTES - 1) + "\n").encode("ascii")


class PositionFile:
    """Where the position of one outbox file is kept; made with the first one.

    Args:
        path: Where it lies; follow it when the outbox file is moved.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Descriptor | None = None
        self._is_closed = False

    def write(self, settled: Settled) -> None:
        """Write down how far all is settled.

        Raises:
            OSError: If it cannot be written.
        """
        if self._is_closed:
            return
        try:
            fd = self._opened().checked(is_kept=True)
        except LostFileError:
            self.close()
            self._is_closed = False
            fd = self._opened().checked()
        os.pwrite(fd, settled.as_line(), 0)

    def close(self) -> None:
        """Close the file; from now on no position is written."""
        self._is_closed = True
        if self._file is not None:
            self._file.close()
        self._file = None

    def _opened(self) -> Descriptor:
        if self._file is None:
            flags = os.O_CREAT | os.O_WRONLY
            self._file = Descriptor(open_file(self.path, flags))
        return self._file
