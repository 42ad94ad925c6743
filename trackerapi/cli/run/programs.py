"""Starting a program as a shell does: where it is, and what is wrong if it is not.

The program gets the environment as it was before Python began, and signals as they
were, except that none of those which Python ignores stays ignored.
"""

import errno
import os
import signal
import sys

TYPE_CHECKING = False  # see `order`
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Launch = Callable[[str, list[str]], int]

NOT_FOUND = 127
NOT_EXECUTABLE = 126

RESTORED = tuple(
    getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)
)
"""Signals that Python ignores and a program must not."""

_COERCED = ("C.UTF-8", "C.utf8", "UTF-8")
_FIRST_BYTES = 128


class NotStarted(Exception):
    """A program could not be started.

    Attributes:
        status: Exit status that a shell has for it: 126 or 127.
        reason: What a shell says.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status, self.reason = status, reason


def start(command: "Sequence[str]", launch: "Launch") -> int:
    """Start a command; return what `launch` does.

    Args:
        command: Its name or path, and its arguments.
        launch: Starts the program of a path with all of its arguments, as
            `os.execv()`, or raises `OSError`.

    Raises:
        NotStarted: If there is no such program, or it cannot be run.
    """
    path = _find(command[0])
    try:
        try:
            return launch(path, [*command])
        except OSError as error:
            if error.errno != errno.ENOEXEC or not _is_text(path):
                raise
        # A script that does not say what it is written in is the shell's.
        return launch("/bin/sh", ["/bin/sh", path, *command[1:]])
    except OSError as error:
        raise _not_started(command[0], path, error) from None


def become(command: "Sequence[str]") -> int:
    """Make this process the command; return only if it cannot be started.

    Raises:
        NotStarted: See `start()`.
    """
    undo_changes_of_python()
    for number in RESTORED:
        signal.signal(number, signal.SIG_DFL)
    return start(command, os.execv)


def undo_changes_of_python() -> None:
    """Take back what Python itself has put into the environment at its start.

    Without any locale, it sets `LC_CTYPE`, which programs would see.
    """
    if os.environ.get("LC_CTYPE") not in _COERCED:
        return
    try:
        with open("/proc/self/environ", "rb") as file:  # noqa: PTH123 - loads nothing
            variables = file.read().split(b"\0")
    except OSError:  # a system without it
        return
    before = [each[9:] for each in variables if each.startswith(b"LC_CTYPE=")]
    if before:
        os.environb[b"LC_CTYPE"] = before[0]
    else:
        del os.environ["LC_CTYPE"]


def tell(text: str) -> None:
    """Print a line on stderr in one piece, and harm nobody if that is gone."""
    if sys.stderr is None:  # closed; the number may be that of another file by now
        return
    try:
        os.write(2, f"trackerapi: {text}\n".encode(errors="backslashreplace"))
    except OSError:
        return


def _find(name: str) -> str:
    """Return the path of a program by the rules of `PATH`."""
    if "/" in name:
        return name
    is_denied = False
    for folder in os.environ.get("PATH", os.defpath).split(":"):
        path = f"{folder or '.'}/{name}"
        if name and os.path.isfile(path):  # noqa: PTH113 - loads nothing
            if os.access(path, os.X_OK):
                return path
            is_denied = True
    if is_denied:
        raise NotStarted(NOT_EXECUTABLE, _reason(name, os.strerror(errno.EACCES)))
    raise NotStarted(NOT_FOUND, _reason(name, "command not found"))


def _reason(name: str, what: str) -> str:
    from trackerapi.errors import one_line  # not needed where a program starts

    # A script may put a text of any length in the place of the name.
    return f"{one_line(name)}: {what}"


def _not_started(name: str, path: str, error: OSError) -> NotStarted:
    reason = os.strerror(error.errno or 0)
    if error.errno == errno.ENOENT:
        if not os.path.exists(path):  # noqa: PTH110 - as above
            return NotStarted(NOT_FOUND, _reason(name, reason))
        reason = f"bad interpreter: {reason}"
    elif error.errno == errno.EACCES and os.path.isdir(path):  # noqa: PTH112 - as above
        reason = os.strerror(errno.EISDIR)
    elif error.errno == errno.ENOEXEC:
        reason = f"cannot execute binary file: {reason}"
    return NotStarted(NOT_EXECUTABLE, _reason(name, reason))


def _is_text(path: str) -> bool:
    """Tell whether a file can be a script."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as above
            return b"\0" not in file.read(_FIRST_BYTES)
    except OSError:
        return False
