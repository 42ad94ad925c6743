"""Exit statuses of the commands, and the error of a secret that was not shown."""

from typing import Final

from trackerapi.errors import TrackerError

FINE: Final = 0
UNAVAILABLE: Final = 1
USAGE: Final = 2
KEY_REFUSED: Final = 3
REFUSED: Final = 4
INTERRUPTED: Final = 130

READ_STATUSES: Final = """\
exit status: 0 done, 1 the backend was not reached or did not answer usably, 2 wrong
usage or settings, 3 the backend refused the key, 4 the backend refused the request,
for example because it does not know the job
"""
"""A part of the help of the commands that ask the backend."""

COPY_FAILED: Final = 1
"""Of a filter: the data could not be read or written."""

UNDELIVERED: Final = 1
"""Of commands that deliver: something still waits."""

FOUND: Final = 1
"""Of `check`: there are mistakes."""

HELD: Final = 3
"""Of commands that deliver: nothing waits, but something is refused."""

UNPRINTED: Final = 1
"""Of commands that print a secret once: stdout could not be written."""


class NotPrinted(TrackerError):
    """A secret that is shown once could not be printed: nobody knows it."""
