"""Worker thread for calls that may block on a disk, in the order of the calls.

Event loops use the worker, because they must not block. One thread makes all calls:
more threads would change the order of the records.
"""

import logging
import sys
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

IDLE_SECONDS: Final = 5.0
"""Time after which the idle thread ends, in seconds; later work starts a thread."""

_LOG: Final = logging.getLogger("trackerapi")

Work = Callable[[], object]


class Worker:
    """Calls functions in a thread, in the order of `post()`.

    Safe to share between threads. The thread starts with the first work. A forked child
    needs a new worker: the thread does not exist in the child.
    """

    def __init__(self) -> None:
        # SimpleQueue is reentrant: a signal handler may call `post()` within `post()`.
        self._work: SimpleQueue[Work] = SimpleQueue()
        self._run_lock = threading.Lock()
        self._is_running = False
        self._thread: threading.Thread | None = None

    def post(self, work: Work) -> None:
        """Have the thread call `work` after all earlier posts.

        Does not block. If no thread can start, the caller runs `work` and may block.
        """
        self._work.put(work)
        if not self._is_running:
            self._begin()

    def drain(self, seconds: float) -> None:
        """Block until all posted work is done.

        Args:
            seconds: Maximum wait; unfinished work continues after it.
        """
        if threading.current_thread() is self._thread:
            return  # the worker thread would wait for its own work
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
            # While the interpreter ends, `start()` would wait for a thread that never
            # runs.
            if not sys.is_finalizing():
                thread.start()
                return
        except RuntimeError:  # the interpreter ends, or a limit of threads is reached
            pass
        except BaseException:  # Ctrl-C: the next work starts a new thread
            self._is_running = False
            raise
        self._is_running = False
        while not self._work.empty():
            self._do_next(0.0)

    def _run(self) -> None:
        # The lock makes a new thread wait for the old thread, which may still run while
        # it ends: two threads at once would change the order of the work.
        with self._run_lock:
            self._is_running, self._thread = True, threading.current_thread()
            while self._do_next(IDLE_SECONDS):
                pass

    def _do_next(self, seconds: float) -> bool:
        """Do the next work; return False if the thread has to end."""
        try:
            work = self._work.get(timeout=seconds)
        except Empty:
            self._is_running = False
            # A `post()` before `_is_running` became False saw True and started no
            # thread: if there is work now, this thread goes on and does it.
            self._is_running = not self._work.empty()
            return self._is_running
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the thread has to go on
            _LOG.debug("a report failed", exc_info=error)
        return True
