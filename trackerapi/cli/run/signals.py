"""Signals that reach this process while the command runs as its child.

The signals are blocked, and `Signals.next()` receives them one by one: no system call
is interrupted, and the sender of each signal is known. The command starts with the
signal mask that this process had before.
"""

import os
import signal
import time

from trackerapi.cli.run.programs import RESTORED

TYPE_CHECKING = False  # see `trackerapi/cli/run/arguments.py`
if TYPE_CHECKING:
    from collections.abc import Callable

STOPS = (signal.SIGINT, signal.SIGTERM)
"""Signals that ask the command to stop."""

_FORWARDED = (
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGTERM",
    "SIGUSR1",
    "SIGUSR2",
    "SIGALRM",
    "SIGXCPU",
    "SIGTSTP",
    "SIGCONT",
)
_OWN = (signal.SIGCHLD, signal.SIGWINCH)
_POLL_SECONDS = 0.02
_KERNEL = 128
"""Value of `si_code` for a signal that the kernel sent."""


class Arrival:
    """Signal that this process has received.

    Attributes:
        number: Number of the signal.
        is_from_terminal: Whether the terminal sent the signal to its foreground group.
        sender: Process id of the sender; 0 for the kernel, or on a system that does not
            report senders.
    """

    __slots__ = ("is_from_terminal", "number", "sender")

    def __init__(self, number: int, is_from_terminal: bool, sender: int) -> None:
        self.number, self.sender = number, sender
        self.is_from_terminal = is_from_terminal


class Signals:
    """Blocked signals of this process. Create the object before any thread starts.

    Threads inherit the mask, so that signals reach only `next()`. A signal that this
    process ignores, as under `nohup`, stays ignored.

    Attributes:
        mask: Signals that were blocked before; the command starts with this mask.
        reset: Signals that have their default action in the command.
    """

    def __init__(self) -> None:
        numbers = [getattr(signal, n) for n in _FORWARDED if hasattr(signal, n)]
        forwarded = [n for n in numbers if signal.getsignal(n) != signal.SIG_IGN]
        self._forwarded = frozenset(forwarded)
        self._blocked = self._forwarded.union(_OWN)
        self.reset = RESTORED
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._blocked)
        for number in (*_OWN, signal.SIGCONT):
            # The kernel may drop a blocked signal whose action is to ignore it.
            signal.signal(number, _do_nothing)

    def __contains__(self, number: int) -> bool:
        """Return whether this signal is forwarded to the command."""
        return number in self._forwarded

    def next(self, seconds: float | None = None) -> Arrival | None:
        """Wait for the next signal and return it; return None at the time limit.

        Args:
            seconds: Maximum wait, in seconds; None waits without a limit.
        """
        if not hasattr(signal, "sigtimedwait"):
            return self._next_without_sender(seconds)
        if seconds is None:
            info = signal.sigwaitinfo(self._blocked)
        else:
            timed = signal.sigtimedwait(self._blocked, max(seconds, 0.0))
            if timed is None:
                return None
            info = timed
        is_from_kernel = info.si_code == _KERNEL
        # The kernel sends SIGHUP for a lost terminal only to the session leader.
        is_alone = info.si_signo == signal.SIGHUP and os.getsid(0) == os.getpid()
        return Arrival(info.si_signo, is_from_kernel and not is_alone, info.si_pid or 0)

    def wait_until(
        self, is_over: "Callable[[], bool]", seconds: float | None
    ) -> int | None:
        """Wait until `is_over()` is true, or until a signal that ends the wait.

        The condition is tested only after a signal, so that a thread that changes its
        result has to call `wake()`.

        Args:
            is_over: Function that returns whether the wait is over.
            seconds: Maximum wait, in seconds; None waits without a limit.

        Returns:
            SIGINT, SIGTERM, SIGHUP or SIGQUIT if it ended the wait; else None.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while not is_over():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            arrival = self.next(left)
            if arrival is None:
                return None
            if arrival.number == signal.SIGTSTP:
                self.pause()
            elif arrival.number in (*STOPS, signal.SIGHUP, signal.SIGQUIT):
                return arrival.number
        return None

    def pause(self) -> None:
        """Stop this process by SIGTSTP until SIGCONT, like Ctrl-Z."""
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})

    def _next_without_sender(self, seconds: float | None) -> Arrival | None:
        """Implement `next()` on systems without `sigtimedwait()`, such as macOS."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while deadline is not None and not signal.sigpending() & self._blocked:
            if time.monotonic() >= deadline:
                return None
            time.sleep(_POLL_SECONDS)
        number = signal.sigwait(self._blocked)
        from_terminal = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)
        return Arrival(number, number in from_terminal and _has_terminal(), 0)


def wake() -> None:
    """Make `wait_until()` test its condition; other threads call this function."""
    os.kill(os.getpid(), signal.SIGCHLD)


def exit_like_child(status: int) -> int:
    """Return the exit status of the child, or end this process by the child's signal.

    If a signal ended the child, the call returns only in process 1 of a container: that
    process survives its own signals.

    Args:
        status: Wait status of the child, from `os.waitpid()`.
    """
    if os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    import resource
    from contextlib import suppress

    number = os.WTERMSIG(status)
    with suppress(OSError, ValueError):
        # With a limit of one byte, this process writes no core file and passes no core
        # dump to a program that collects core dumps.
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (1, hard))
    with suppress(OSError, ValueError):  # SIGKILL cannot have a handler
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    return 128 + number  # reached only in process 1 of a container


def _has_terminal() -> bool:
    """Return whether this process is in the foreground group of its terminal."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _do_nothing(_number: int, _frame: object) -> None:
    """Handle a signal without any work: `sigwait()` receives the signal."""
