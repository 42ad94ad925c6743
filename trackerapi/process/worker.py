"""A thread that does what may wait for a disk, one thing after the other.

For callers that must not wait themselves, such as an event loop. More than one thread
would lose the order of the calls, which is the order of the records.
"""

import logging
import sys
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

IDLE_SECONDS: Final = 5.0
"""How long the thread waits for more before it ends; the next work begins another."""

_LOG: Final = logging.getLogger("trackerapi")

Work = Callable[[], object]


class Worker:
    """Does work in the order in which it is posted; safe to share between threads.

    Its thread begins with the first work. One of a forked process does nothing; the
    child makes its own.
    """

    def __init__(self) -> None:
        # A signal handler may post in the middle of a post.
        self._work: SimpleQueue[Work] = SimpleQueue()
        self._turn = threading.Lock()
        self._is_running = False
        self._thread: threading.Thread | None = None

    def post(self, work: Work) -> None:
        """Have `work` done behind all that was posted before; waits for nothing."""
        self._work.put(work)
        if not self._is_running:
            self._begin()

    def drain(self, seconds: float) -> None:
        """Wait until all that was posted so far is done.

        Args:
            seconds: Longest wait.
        """
        if threading.current_thread() is self._thread:
            return  # the author's code, called by a report, would wait for itself
        if self._is_running or not self._work.empty():
            is_done = threading.Event()
            self.post(is_done.set)
            is_done.wait(seconds)

    def _begin(self) -> None:
        self._is_running = True
        thread = threading.Thread(
            target=self._run, name="trackerapi-worker", daemon=True
        )
        try:
            if not sys.is_finalizing():  # a thread would be waited for, but not begin
                thread.start()
                return
        except RuntimeError:  # at the end of the interpreter, or at a limit
            pass
        except BaseException:  # Ctrl-C: the next work begins another
            self._is_running = False
            raise
        self._is_running = False
        while not self._work.empty():
            self._do_next(0.0)

    def _run(self) -> None:
        # One that has decided to end may still be at it.
        with self._turn:
            self._is_running, self._thread = True, threading.current_thread()
            while self._do_next(IDLE_SECONDS):
                pass

    def _do_next(self, seconds: float) -> bool:
        """Do the next work; return whether more may follow."""
        try:
            work = self._work.get(timeout=seconds)
        except Empty:
            self._is_running = False
            # What was posted before that has begun no thread.
            self._is_running = not self._work.empty()
            return self._is_running
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the thread must live on
            _LOG.debug("a report failed", exc_info=error)
        return True
