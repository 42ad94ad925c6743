"""Pseudo-terminal for the output of the command, so that its lines can be read.

Output only: keyboard, job control and Ctrl-C stay with the real terminal. The settings
of the real terminal are never changed: nothing has to be restored, even after SIGKILL.
The pseudo-terminal does not process output: the real terminal does.
"""

import os
import termios
from contextlib import suppress
from typing import Final

_OUTPUT_FLAGS: Final = 1


def open_terminal(like: int) -> tuple[int, int]:
    """Return both ends of a new pseudo-terminal: ours, and the end of the command.

    Args:
        like: Descriptor of the real terminal, whose settings and size are copied.

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
    """Copy the size of the real terminal; return whether the size changed."""
    with suppress(termios.error):
        size = termios.tcgetwinsize(like)
        if termios.tcgetwinsize(ours) != size:
            termios.tcsetwinsize(ours, size)
            return True
    return False
