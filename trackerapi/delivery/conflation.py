"""Progress and heartbeats, of which only the newest counts.

A job may report progress a million times; one record a second and step is written,
or part of a step where parts count, the newest before the step's next event, and the
last one always.
"""

import logging
import sys
import threading
from collections.abc import Callable
from typing import Final

from trackerapi.process.clock import pause, steady_seconds

INTERVAL_SECONDS: Final = 1.0
_LOG: Final = logging.getLogger("trackerapi")

Key = tuple[str, str | None, str, str | None]
"""A job, a step of it, the kind of event, and the part that counted."""

Write = Callable[[bytes], object]

Line = bytes | Callable[[], bytes]
"""A record, or what makes it when it is written; an empty one is not written."""


class Conflation:
    """Passes the first record of a kind on, then at most one a second.

    Safe to share between threads.

    Args:
        write: Writes a record.
        clock: Monotonic clock in seconds, for a caller that calls `release_due()`
            itself. None keeps time in a thread, as long as something is pending: the
            courier may be waiting for an answer when the time comes.

    Attributes:
        pending: The newest records not written yet.
    """

    def __init__(self, write: Write, clock: Callable[[], float] | None = None) -> None:
        self.pending: dict[Key, Line] = {}
        self._written_at: dict[Key, float] = {}
        self._write, self._clock = write, clock or steady_seconds
        self._keeps_time, self._is_ticking = clock is None, False
        self._is_closed = False
        self._lock = threading.RLock()

    def offer(self, key: Key, line: Line) -> bool:
        """Write a record, or keep it until its time comes; True if it is kept."""
        now = self._clock()
        with self._lock:
            written_at = self._written_at.get(key, -INTERVAL_SECONDS)
            is_early = key in self.pending or now - written_at < INTERVAL_SECONDS
            if is_early and not self._is_closed:
                self.pending[key] = line
                self._keep_time()
                return True
            self._put(line)
            self._written_at[key] = now
        return False

    def queue(self, key: Key, line: Line) -> None:
        """Keep a record until its time comes, if that is now; waits for nothing.

        Also not for who is writing: it takes no lock, and a thread writes.
        """
        self.pending[key] = line
        self._keep_time()

    def write_pending(self, provider_job_id: str, tag: str | None) -> None:
        """Write what is kept of a step, or of the whole job, before its next event."""
        with self._lock:
            for key in list(self.pending):
                if key[0] == provider_job_id and tag in (None, key[1]):
                    self._write_pending(key)

    def write_due(self) -> float | None:
        """Write what is due; return the seconds until more is, None without more."""
        now = self._clock()
        soonest: float | None = None
        with self._lock:
            for key in list(self.pending):
                written_at = self._written_at.get(key, -INTERVAL_SECONDS)
                left = written_at + INTERVAL_SECONDS - now
                if left <= 0 or self._is_closed:
                    self._write_pending(key)
                elif soonest is None or left < soonest:
                    soonest = left
            self._forget_old(now)
        return soonest

    def close(self) -> None:
        """Write all that is kept, and from now on keep nothing.

        A thread that has come too late to hear of the end writes at once.
        """
        with self._lock:
            self._is_closed = True
            self.write_all()

    def write_all(self) -> None:
        """Write all that is kept."""
        with self._lock:
            for key in list(self.pending):
                self._write_pending(key)

    def _keep_time(self) -> None:
        if not self._keeps_time or self._is_ticking or sys.is_finalizing():
            return
        self._is_ticking = True
        try:
            threading.Thread(
                target=self._tick, name="trackerapi-progress", daemon=True
            ).start()
        except RuntimeError:  # at the end of the interpreter, or at a limit
            self._is_ticking = False
            self.write_due()
        except BaseException:  # Ctrl-C: the next record begins another
            self._is_ticking = False
            raise

    def _tick(self) -> None:
        while True:
            seconds: float | None = INTERVAL_SECONDS
            try:
                seconds = self.write_due()
            except BaseException as error:  # noqa: BLE001
                # An OutboxError was logged. `before_send` may call `sys.exit()`.
                _LOG.debug("progress was not written", exc_info=error)
            # In this order: what is kept meanwhile begins another thread or is seen.
            self._is_ticking = False
            if not self.pending:
                return
            self._is_ticking = True
            pause(INTERVAL_SECONDS if seconds is None else seconds)

    def _write_pending(self, key: Key) -> None:
        line = self.pending.get(key)
        if line is None:  # a signal handler that reported has written it
            return
        self._put(line)
        self._written_at[key] = self._clock()
        newest = self.pending.pop(key, None)
        if newest is not None and newest is not line:
            # A signal handler has offered it meanwhile.
            self.pending.setdefault(key, newest)

    def _put(self, line: Line) -> None:
        record = line() if callable(line) else line
        if record:
            self._write(record)

    def _forget_old(self, now: float) -> None:
        # A service that tracks job after job must not remember them all.
        if len(self._written_at) > 1000:
            for key, at in list(self._written_at.items()):
                if now - at > INTERVAL_SECONDS and key not in self.pending:
                    del self._written_at[key]
