"""Signals that reach this process while it stands before a command.

They are blocked and taken one by one, so that nothing here is ever interrupted and it
is known who sent each. The command gets its signals as they were.
"""

import os
import signal
import time

from trackerapi.cli.run.programs import RESTORED

TYPE_CHECKING = False  # see `order`
if TYPE_CHECKING:
    from collections.abc import Callable

STOPS = (signal.SIGINT, signal.SIGTERM)
"""Signals by which somebody asks the work to stop."""

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
_LOOK_SECONDS = 0.02
_KERNEL = 128
"""`si_code` of a signal that no process sent."""


class Arrival:
    """A signal that was taken.

    Attributes:
        number: Which.
        is_from_terminal: Whether the terminal sent it, to all processes before it.
        sender: Process that sent it; 0 if none did, or nobody knows.
    """

    __slots__ = ("is_from_terminal", "number", "sender")

    def __init__(self, number: int, is_from_terminal: bool, sender: int) -> None:
        self.number, self.sender = number, sender
        self.is_from_terminal = is_from_terminal


class Signals:
    """Takes the signals of this process, once made; its threads are to get none.

    A signal that this process ignores, as under `nohup`, stays ignored.

    Attributes:
        mask: Signals that were blocked before, as the command has to have it.
        reset: Signals that the command has to have as they are by default.
    """

    def __init__(self) -> None:
        numbers = [getattr(signal, n) for n in _FORWARDED if hasattr(signal, n)]
        taken = [n for n in numbers if signal.getsignal(n) != signal.SIG_IGN]
        self._forwarded = frozenset(taken)
        self._taken = self._forwarded.union(_OWN)
        self.reset = RESTORED
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._taken)
        for number in (*_OWN, signal.SIGCONT):
            # What is ignored by default may be lost even while it is blocked.
            signal.signal(number, _do_nothing)

    def __contains__(self, number: int) -> bool:
        """Whether a signal is to be passed on."""
        return number in self._forwarded

    def next(self, seconds: float | None = None) -> Arrival | None:
        """Wait for the next signal and take it; None if none came in time.

        Args:
            seconds: Longest wait; None for ever.
        """
        if not hasattr(signal, "sigtimedwait"):
            return self._next_unsigned(seconds)
        if seconds is None:
            info = signal.sigwaitinfo(self._taken)
        else:
            timed = signal.sigtimedwait(self._taken, max(seconds, 0.0))
            if timed is None:
                return None
            info = timed
        is_from_kernel = info.si_code == _KERNEL
        # When a terminal goes away, only the process that leads its session hears it.
        is_alone = info.si_signo == signal.SIGHUP and os.getsid(0) == os.getpid()
        return Arrival(info.si_signo, is_from_kernel and not is_alone, info.si_pid or 0)

    def wait_until(
        self, is_over: "Callable[[], bool]", seconds: float | None
    ) -> int | None:
        """Wait until something is over whose end is told by `wake()`.

        Args:
            is_over: Tells whether it is.
            seconds: Longest wait; None for ever.

        Returns:
            The signal that asked to stop waiting; None without one.
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
        """Stop this process as the terminal stops one, until it is to go on."""
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})

    def _next_unsigned(self, seconds: float | None) -> Arrival | None:
        """Do what `next()` does where the system does not say who sent a signal."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while deadline is not None and not signal.sigpending() & self._taken:
            if time.monotonic() >= deadline:
                return None
            time.sleep(_LOOK_SECONDS)
        number = signal.sigwait(self._taken)
        from_terminal = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)
        return Arrival(number, number in from_terminal and _has_terminal(), 0)


def wake() -> None:
    """Let `wait_until()` look whether it is over; for other threads."""
    os.kill(os.getpid(), signal.SIGCHLD)


def leave_as(status: int) -> int:
    """End as a child has ended.

    Args:
        status: What `os.waitpid()` said of it.

    Returns:
        The exit status. Where a signal ended the child, the same one ends this
        process, and this does not return, unless nothing can end the process so.
    """
    if os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    import resource
    from contextlib import suppress

    number = os.WTERMSIG(status)
    with suppress(OSError, ValueError):
        # One byte, which keeps a core from files and from programs that collect them.
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (1, hard))
    with suppress(OSError, ValueError):  # SIGKILL
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    return 128 + number  # the first process of a container


def _has_terminal() -> bool:
    """Tell whether this process is one of those before its terminal."""
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
    """Take a signal that has been waited for."""
