"""Pseudo-terminal that receives the output of the command, to read its lines.

Keyboard, job control and Ctrl-C stay with the real terminal. The settings of the real
terminal stay unchanged, so nothing has to be restored, even after SIGKILL. Only the
real terminal processes output, such as line feeds.
"""

import os
import termios
from contextlib import suppress
from typing import Final

_OUTPUT_FLAGS: Final = 1


def open_terminal(like: int) -> tuple[int, int]:
    """Return both ends of a new pseudo-terminal: our end, and the command's end.

    Args:
        like: Descriptor of the real terminal: its settings and size are copied.

    Raises:
        OSError: If the limit of pseudo-terminals or descriptors is reached.
    """
    ours, theirs = os.openpty()
    with suppress(termios.error):
        attributes = termios.tcgetattr(like)
        attributes[_OUTPUT_FLAGS] &= ~termios.OPOST
        termios.tcsetattr(theirs, termios.TCSANOW, attributes)
        termios.tcsetwinsize(theirs, termios.tcgetwinsize(like))
    return ours, theirs


def copy_size(ours: int, like: int) -> bool:
    """Copy the size of the real terminal; return False if it did not change."""
    with suppress(termios.error):
        size = termios.tcgetwinsize(like)
        if termios.tcgetwinsize(ours) != size:
            termios.tcsetwinsize(ours, size)
            return True
    return False
