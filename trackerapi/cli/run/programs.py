"""Start of a program by the rules of a shell: `PATH`, exit statuses 126 and 127.

At its start, Python changes the environment and ignores some signals. The program
starts with the original environment, and with the default actions of these signals.
"""

import errno
import os
import signal
import sys

TYPE_CHECKING = False  # see `arguments`
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Launch = Callable[[str, list[str]], int]

NOT_FOUND = 127
NOT_EXECUTABLE = 126

RESTORED = tuple(
    getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)
)
"""Signals that Python ignores; the program starts with their default action."""

_COERCED = ("C.UTF-8", "C.utf8", "UTF-8")
_FIRST_BYTES = 128


class NotStarted(Exception):
    """The program could not be started.

    Attributes:
        status: Exit status that a shell would return: 126 or 127.
        reason: Message that a shell would print.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status, self.reason = status, reason


def start(command: "Sequence[str]", launch: "Launch") -> int:
    """Start a command; return the result of `launch`.

    Args:
        command: Name or path of the program, and its arguments.
        launch: Function that starts the program, or raises `OSError`. It takes the path
            and all arguments, like `os.execv()`.

    Raises:
        NotStarted: If the program is missing or cannot be executed.
    """
    path = _find(command[0])
    try:
        try:
            return launch(path, [*command])
        except OSError as error:
            if error.errno != errno.ENOEXEC or not _is_text(path):
                raise
        # The kernel refuses a script without `#!`: the shell runs it.
        return launch("/bin/sh", ["/bin/sh", path, *command[1:]])
    except OSError as error:
        raise _not_started(command[0], path, error) from None


def exec_command(command: "Sequence[str]") -> int:
    """Replace this process by the command; on success, the call never returns.

    Raises:
        NotStarted: See `start()`.
    """
    restore_locale()
    for number in RESTORED:
        signal.signal(number, signal.SIG_DFL)
    return start(command, os.execv)


def restore_locale() -> None:
    """Undo the change that Python makes to the environment at its start.

    Python sets `LC_CTYPE` if the environment has no locale, and the program would
    inherit the variable.
    """
    if os.environ.get("LC_CTYPE") not in _COERCED:
        return
    try:
        with open("/proc/self/environ", "rb") as file:  # noqa: PTH123 - loads nothing
            variables = file.read().split(b"\0")
    except OSError:  # a system without /proc
        return
    before = [each[9:] for each in variables if each.startswith(b"LC_CTYPE=")]
    if before:
        os.environb[b"LC_CTYPE"] = before[0]
    else:
        del os.environ["LC_CTYPE"]


def print_message(text: str) -> None:
    """Print a line on stderr by one write; ignore a stderr that cannot be written."""
    if sys.stderr is None:  # closed at the start: descriptor 2 may be another file
        return
    try:
        os.write(2, f"trackerapi: {text}\n".encode(errors="backslashreplace"))
    except OSError:
        return


def _find(name: str) -> str:
    """Return the path of a program by the rules of `PATH`, or raise `NotStarted`."""
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
    from trackerapi.errors import one_line  # only for errors: a start stays fast

    # `one_line()` cuts the name: it comes from a script and can have any length.
    return f"{one_line(name)}: {what}"


def _not_started(name: str, path: str, error: OSError) -> NotStarted:
    """Return the error for a failed start, with the status and message of a shell."""
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
    """Return whether a file looks like text: its first 128 bytes have no NUL."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as above
            return b"\0" not in file.read(_FIRST_BYTES)
    except OSError:
        return False
