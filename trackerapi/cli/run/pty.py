"""A terminal in the place of ours, so that what a command writes to it can be seen.

It stands in for output only. Keyboard, job control and Ctrl-C stay with our own
terminal, whose settings are never changed, so that nothing has to be put back whatever
ends this process. What is written comes through unchanged: our terminal does what
terminals do to output.
"""

import os
import termios
from contextlib import suppress
from typing import Final

_OUTPUT_FLAGS: Final = 1


def open_terminal(like: int) -> tuple[int, int]:
    """Return both ends of a new terminal: ours, and that of the command.

    Args:
        like: Descriptor of the terminal in whose place it stands.

    Raises:
        OSError: If there are none left.
    """
    ours, theirs = os.openpty()
    with suppress(termios.error):
        attributes = termios.tcgetattr(like)
        attributes[_OUTPUT_FLAGS] &= ~termios.OPOST
        termios.tcsetattr(theirs, termios.TCSANOW, attributes)
        termios.tcsetwinsize(theirs, termios.tcgetwinsize(like))
    return ours, theirs


def copy_size(ours: int, like: int) -> bool:
    """Give the terminal the size of the other one; return whether it changed."""
    with suppress(termios.error):
        size = termios.tcgetwinsize(like)
        if termios.tcgetwinsize(ours) != size:
            termios.tcsetwinsize(ours, size)
            return True
    return False
