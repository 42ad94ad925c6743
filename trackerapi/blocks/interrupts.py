"""SIGTERM while a job runs: it was cancelled, and the process ends as it would have.

Python does not see SIGTERM by default; the process is gone. As long as a block of a
job is open in the main thread, a handler reports first. A handler of the author's own
is called as ever, and what it raises ends the blocks.
"""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from trackerapi.job import TrackerJob


class _Watch:
    """The handler, while it is installed.

    Attributes:
        jobs: Jobs whose blocks are open, the innermost last.
        process_id: Process that installed it; a forked child has no job to cancel.
    """

    def __init__(self) -> None:
        self.jobs: list[TrackerJob] = []
        self.process_id = 0
        self.before: Any = None

    def begin(self, job: "TrackerJob") -> None:
        """Watch over a job; nothing happens outside of the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        if self.process_id != os.getpid():  # also after a fork
            self.jobs = []
            self._install()
        elif not self.jobs:
            self._install()
        if self.process_id:
            self.jobs.append(job)

    def end(self, job: "TrackerJob") -> None:
        """Watch over a job no more."""
        if job not in self.jobs or self.process_id != os.getpid():
            return
        self.jobs.remove(job)
        if not self.jobs and signal.getsignal(signal.SIGTERM) == self.handle:
            signal.signal(signal.SIGTERM, self.before)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Report that the jobs are cancelled, and go on as without this handler."""
        jobs = list(self.jobs) if self.process_id == os.getpid() else []
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
        if before == self.handle:
            before = self.before
        if before in (signal.SIG_IGN, None):
            self.process_id = 0
            return
        self.before, self.process_id = before, os.getpid()
        signal.signal(signal.SIGTERM, self.handle)


SIGTERM_WATCH: Final = _Watch()
