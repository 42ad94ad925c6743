"""Stderr or stdout for a view; the job may close or replace it at any time.

The view writes directly to the descriptor: the buffer of Python's stream belongs to the
job, and a lock or a flush of that buffer could block.
"""

import os
import signal
import sys
from contextlib import suppress
from typing import Final, TextIO


class Output:
    """The file that was stderr or stdout when the view began.

    Args:
        stream: Stream of stderr or stdout.

    Attributes:
        descriptor: Descriptor of the stream; None for a stream without a descriptor, as
            in a notebook.
        encoding: Encoding of the stream.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream: Final = stream
        self.encoding = str(getattr(stream, "encoding", None) or "ascii")
        self.descriptor = _descriptor(stream)
        self._file = _file_id(self.descriptor)

    def write(self, text: str, errors: str = "backslashreplace") -> bool:
        """Write a text; return False if the file cannot be written any more.

        Args:
            text: Text to write.
            errors: Error handler of `str.encode()` for characters that are not in the
                encoding.
        """
        if self.descriptor is None:
            with suppress(Exception):
                self._stream.write(text)
                self._stream.flush()
                return True
            return False
        try:
            # The job may have closed the file, and opened another with its descriptor.
            if self._file is None or _file_id(self.descriptor) != self._file:
                return False
            left = memoryview(text.encode(self.encoding, errors))
            while left:
                left = left[os.write(self.descriptor, left) :]
        except BlockingIOError:
            return True  # The pipe is full: a lost line is better than a blocked view.
        except (OSError, ValueError, LookupError):
            return False
        return True


def block_terminal_signals() -> None:
    """Block SIGPIPE and SIGTTOU in the calling thread.

    By default, these signals end or stop the process. While they are blocked, a write
    to a closed pipe or from the background of a terminal raises OSError.
    """
    if hasattr(signal, "pthread_sigmask"):
        signals = {signal.SIGPIPE, signal.SIGTTOU}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)


def _descriptor(stream: TextIO) -> int | None:
    # In a notebook, `sys.stdout` and `sys.stderr` send their text to the browser: text
    # written to the descriptor would not appear there.
    if stream is not sys.__stdout__ and stream is not sys.__stderr__:
        return None
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


def _file_id(descriptor: int | None) -> tuple[int, int, int] | None:
    if descriptor is None:
        return None
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_rdev
