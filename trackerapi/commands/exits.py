"""Exit statuses of the commands, and the error of an operator's mistake."""

from typing import Final

from trackerapi.errors import TrackerError

FINE: Final = 0
UNAVAILABLE: Final = 1
USAGE: Final = 2
KEY_REFUSED: Final = 3
REFUSED: Final = 4
INTERRUPTED: Final = 130

UNCOPIED: Final = 1
"""Of a filter: the data could not be read or written."""

WAITING: Final = 1
"""Of commands that deliver: something still waits."""

FOUND: Final = 1
"""Of `check`: there are mistakes."""

HELD: Final = 3
"""Of commands that deliver: nothing waits, but something is refused."""


class Mistake(TrackerError):
    """What was asked for cannot be done as it was asked; the text says why."""
