"""The stderr that a view writes to, which may go away at any time.

Written to by its descriptor, so that nothing waits for, or flushes, what the job has
in the buffer of its stream.
"""

import os
import signal
import sys
from contextlib import suppress
from typing import Final, TextIO


class Output:
    """Writes to the stderr that a process had when it began to show something.

    Args:
        stream: The stream.

    Attributes:
        descriptor: Its descriptor; None where it has none of its own.
        encoding: Its encoding.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream: Final = stream
        self.encoding = str(getattr(stream, "encoding", None) or "ascii")
        self.descriptor = _descriptor(stream)
        self._file = _identity(self.descriptor)

    def write(self, text: str, errors: str = "backslashreplace") -> bool:
        """Write a text; False if nobody can be reached here any more.

        Args:
            text: What to write.
            errors: What becomes of a character that the encoding does not have.
        """
        if self.descriptor is None:
            with suppress(Exception):
                self._stream.write(text)
                self._stream.flush()
                return True
            return False
        try:
            # The job may have closed it, and opened another file under its number.
            if self._file is None or _identity(self.descriptor) != self._file:
                return False
            left = memoryview(text.encode(self.encoding, errors))
            while left:
                left = left[os.write(self.descriptor, left) :]
        except BlockingIOError:
            return True  # it takes nothing just now: better a gap than a wait
        except (OSError, ValueError, LookupError):
            return False
        return True


def leave_signals_alone() -> None:
    """Keep a write of this thread from ending or stopping the whole process.

    A closed pipe and a terminal in the foreground of another are told by an error.
    """
    if hasattr(signal, "pthread_sigmask"):
        signals = {signal.SIGPIPE, signal.SIGTTOU}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)


def _descriptor(stream: TextIO) -> int | None:
    # Another stream in its place, as in a notebook, knows best where its text goes.
    if stream is not sys.__stderr__:
        return None
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


def _identity(descriptor: int | None) -> tuple[int, int, int] | None:
    if descriptor is None:
        return None
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_rdev
