"""Exit statuses of the commands, and the error for output that was not printed."""

from typing import Final

from trackerapi.errors import TrackerError

FINE: Final = 0
UNAVAILABLE: Final = 1
USAGE: Final = 2
KEY_REFUSED: Final = 3
REFUSED: Final = 4
UNSUCCESSFUL: Final = 5
"""Status of `job watch` if the job has failed or was cancelled."""

INTERRUPTED: Final = 130

READ_STATUSES: Final = """\
exit status: 0 done, 1 the backend was not reached or gave no usable answer, or stdout
cannot be written, 2 wrong usage or settings, 3 the backend refused the key, 4 the
backend refused the request, for example because the job is unknown
"""
"""Part of the help of each command that makes a read call."""

COPY_FAILED: Final = 1
"""Status of `track` if data cannot be read or written."""

UNDELIVERED: Final = 1
"""Status of commands that deliver, if undelivered records remain."""

FOUND: Final = 1
"""Status of `check` if there are findings."""

HELD: Final = 3
"""Status of commands that deliver, if only held records remain."""

UNPRINTED: Final = 1
"""Status of all commands except `run`, if stdout cannot be written."""


class NotPrinted(TrackerError):
    """The command could not print its result, such as a list or a token, on stdout."""
