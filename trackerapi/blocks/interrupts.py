"""SIGTERM while a job runs: it was cancelled, and the process ends as it would have.

Python does not see SIGTERM by default; the process is gone. As long as a block of a
job is open in the main thread, a handler reports first. A handler of the author's own
is called as ever, and what it raises ends the blocks.
"""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from trackerapi.job import TrackerJob


class _Watch:
    """The handler, while it is installed.

    Attributes:
        jobs: Jobs whose blocks are open, the innermost last.
        before: What SIGTERM did before.
    """

    def __init__(self) -> None:
        self.jobs: list[TrackerJob] = []
        self._is_installed = False
        self.before: Any = None
        self._is_hooked = self._is_forking = False

    def begin(self, job: "TrackerJob") -> None:
        """Watch over a job; nothing happens outside of the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        if not self.jobs:
            self._install()
        if self._is_installed:
            self.jobs.append(job)

    def end(self, job: "TrackerJob") -> None:
        """Watch over a job no more."""
        if job not in self.jobs:
            return
        self.jobs.remove(job)
        if not self.jobs:
            self._uninstall()

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Report that the jobs are cancelled, and go on as without this handler."""
        jobs = list(self.jobs)
        for job in jobs:
            job.stop()
        if callable(self.before):
            author: Callable[[int, FrameType | None], object] = self.before
            author(number, frame)
            for job in jobs:
                job.is_stopped = False  # the author's handler lets it run on
            return
        for job in reversed(jobs):
            job.quietly(None, job.cancel)
        for job in jobs:
            job.deliver_last()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)

    def _install(self) -> None:
        before = signal.getsignal(signal.SIGTERM)
        # None: a handler that is not Python's, which could not be put back.
        self._is_installed = before not in (signal.SIG_IGN, None)
        if not self._is_installed:
            return
        self.before = before
        signal.signal(signal.SIGTERM, self.handle)
        if not self._is_hooked and hasattr(os, "register_at_fork"):
            self._is_hooked = True
            os.register_at_fork(
                before=self._before_fork,
                after_in_parent=self._after_fork,
                after_in_child=self._in_child,
            )

    def _uninstall(self) -> bool:
        """Put back what was there before; False if this is not the time or place."""
        if signal.getsignal(signal.SIGTERM) != self.handle:
            return False
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, self.before)
            return True
        return False

    def _before_fork(self) -> None:
        # Python forgets a signal that a child gets before it runs: a worker that is
        # terminated at once would never end. Its parent has the handler back soon.
        self._is_forking = bool(self.jobs) and self._uninstall()

    def _after_fork(self) -> None:
        if self._is_forking:
            self._is_forking = False
            signal.signal(signal.SIGTERM, self.handle)

    def _in_child(self) -> None:
        # The jobs are the parent's to cancel.
        self._is_forking = False
        self._uninstall()
        self.jobs = []


SIGTERM_WATCH: Final = _Watch()
