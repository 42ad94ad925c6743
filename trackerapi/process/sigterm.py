"""Handler of SIGTERM while a job runs: reports the stop, then lets the process end.

By default, SIGTERM ends the process without running Python code. While a block
(`with` statement) of a job is open in the main thread, this handler first marks the job
as stopped. It then calls the script's own handler, whose exception ends the blocks. If
the script has no handler, this handler reports the stop and sends SIGTERM again.
"""

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Protocol

from trackerapi.process.clock import steady_seconds

if TYPE_CHECKING:
    import asyncio

_STOP_REPORTS: Final = 3
"""Number of reports of one stop: other threads may report work between them."""

_LOOP_HANDLERS: Final = "asyncio.unix_events"

_Handler = Any
"""Signal handler: callable, `SIG_DFL`, `SIG_IGN`, or None for a handler set in C."""


class StoppableJob(Protocol):
    """A job that reports its stop when SIGTERM ends the process.

    Attributes:
        is_stopped: Whether SIGTERM has asked the process to end.
    """

    is_stopped: bool

    def stop(self) -> None:
        """Record that SIGTERM has asked the process to end."""

    def report_stop(self) -> None:
        """Report the stop as the last event of the job."""

    def report_quietly(
        self, error: BaseException | None, report: Callable[[], object]
    ) -> None:
        """Call `report`; log its exception if `error` is given, else raise it."""

    def deliver_last(self, spent_seconds: float = 0.0) -> None:
        """Deliver undelivered records within the rest of `shutdown_timeout_seconds`."""


class _Watch:
    """Installs and removes the handler of SIGTERM.

    Attributes:
        jobs: Jobs whose blocks are open, the innermost last.
    """

    def __init__(self) -> None:
        self.jobs: list[StoppableJob] = []
        self._handler: _Handler = None
        self._before: _Handler = None
        self._is_hooked = self._is_forking = False

    def begin(self, job: "StoppableJob") -> None:
        """Install the handler for a job at the begin of its block.

        Does nothing outside the main thread: Python refuses handlers there.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        if not self.jobs:
            self._install()
        if self._handler is None:
            return
        self.jobs.append(job)
        loop = _loop()
        if loop is not None:
            loop.call_soon(self._install_again)

    def end(self, job: "StoppableJob") -> None:
        """Remove a job at the end of its block; the last job removes the handler."""
        if job not in self.jobs:
            return
        self.jobs.remove(job)
        if not self.jobs:
            self._uninstall()

    def handle(self, before: _Handler, number: int, frame: FrameType | None) -> None:
        """Call the script's handler; without one, report the stop and end the process.

        Args:
            before: Handler of SIGTERM before this handler was installed.
            number: Number of the signal.
            frame: Frame that the signal interrupted.
        """
        jobs = list(self.jobs)
        for job in jobs:
            job.stop()
        if callable(before):
            author: Callable[[int, FrameType | None], object] = before
            author(number, frame)
            for job in jobs:
                job.is_stopped = False  # the script's handler has returned
            return
        self._report_stop(jobs)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)

    def _report_stop(self, jobs: "Sequence[StoppableJob]") -> None:
        """Report the stop as the last event of each job, and deliver it.

        Other threads keep working during the delivery, and their reports set the
        interrupted job to running again. The stop is therefore reported several times.
        """
        began = steady_seconds()
        for _ in range(_STOP_REPORTS):
            for job in reversed(jobs):
                # `SystemExit()` makes `report_quietly()` log errors, even with
                # `strict`: the process ends anyway.
                job.report_quietly(SystemExit(), job.report_stop)
            for job in jobs:
                job.deliver_last(steady_seconds() - began)

    def _install(self) -> None:
        before = signal.getsignal(signal.SIGTERM)
        if self._handler is not None and before == self._handler:
            return  # another thread ended the last block, but cannot remove a handler
        if before == signal.SIG_IGN or _is_set_in_c(before):
            self._handler = None
            return
        # A new object for each installation: a handler of the script may call the
        # handler that it replaced. With a shared object, both handlers would call each
        # other for ever.
        self._handler = functools.partial(self.handle, before)
        self._before = before
        if not _set_handler(self._handler):
            self._handler = None
            return
        if not self._is_hooked and hasattr(os, "register_at_fork"):
            self._is_hooked = True
            os.register_at_fork(
                before=self._before_fork,
                after_in_parent=self._after_fork,
                after_in_child=self._in_child,
            )

    def _install_again(self) -> None:
        """Install the handler again if the block has added a handler to its event loop.

        `loop.add_signal_handler()` replaces this handler by an empty handler. The
        loop itself calls the added handler.
        """
        found = signal.getsignal(signal.SIGTERM)
        if self.jobs and getattr(found, "__module__", "") == _LOOP_HANDLERS:
            self._install()

    def _uninstall(self) -> bool:
        """Restore the previous handler; return False if Python refuses."""
        if self._handler is None or signal.getsignal(signal.SIGTERM) != self._handler:
            return False
        return not _is_set_in_c(self._handler) and _set_handler(self._before)

    def _before_fork(self) -> None:
        # The parent has no handler during the fork: Python drops a signal that reaches
        # the child before the child runs, and a worker that is terminated immediately
        # would never end. A set flag stays set: a signal handler may fork during this
        # fork.
        if not self._is_forking:
            self._is_forking = bool(self.jobs) and self._uninstall()

    def _after_fork(self) -> None:
        if self._is_forking:
            self._is_forking = False
            _set_handler(self._handler)

    def _in_child(self) -> None:
        # Only the parent reports the stop of its jobs.
        self._is_forking = False
        self._uninstall()
        self.jobs = []


def _loop() -> "asyncio.AbstractEventLoop | None":
    """Return the running event loop; None outside an event loop."""
    running = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
    return running() if running else None


def _set_handler(handler: _Handler) -> bool:
    """Install `handler` for SIGTERM; return False where Python refuses.

    Python refuses in threads, in sub-interpreters and in some embedding programs.
    """
    with suppress(ValueError, RuntimeError, AttributeError, OSError):
        signal.signal(signal.SIGTERM, handler)
        return True
    return False


def _is_set_in_c(known: _Handler) -> bool:
    """Return whether a C library handles SIGTERM: Python cannot restore its handler.

    Args:
        known: Result of `signal.getsignal()`. None for a handler that was set before
            Python started. The result is wrong after `faulthandler.register()`.
    """
    if known is None:
        return True
    if known == signal.SIG_DFL:
        return _is_caught()
    # `sigaction()` of the C library takes 20 ms the first time, so it is called only if
    # a module is loaded that can set a handler in C.
    if not {"faulthandler", "ctypes"} & sys.modules.keys():
        return False
    ours, taken = _address(signal.SIGINT), _address(signal.SIGTERM)
    is_comparable = callable(signal.getsignal(signal.SIGINT)) and None not in (
        ours,
        taken,
    )
    return is_comparable and ours != taken


def _is_caught() -> bool:
    """Return whether the kernel lists a handler for SIGTERM; False if not on Linux."""
    with suppress(OSError, ValueError, IndexError):
        status = Path("/proc/thread-self/status").read_bytes()
        mask = int(status.partition(b"SigCgt:")[2].split(None, 1)[0], 16)
        return bool(mask >> (signal.SIGTERM - 1) & 1)
    return False


def _address(number: int) -> int | None:
    """Return the address of the C function that handles a signal; None if unknown."""
    with suppress(Exception):  # the C library has no `sigaction()`
        import ctypes

        # `struct sigaction` begins with the address on Linux and macOS, and is shorter
        # than the buffer.
        action = ctypes.create_string_buffer(1024)
        if ctypes.CDLL(None).sigaction(number, None, action) == 0:
            return int(ctypes.c_void_p.from_buffer(action).value or 0)
    return None


SIGTERM_WATCH: Final = _Watch()
