"""Conflation of progress and heartbeats: a newer event replaces a pending older event.

A script may report progress a million times. For each step or part of a step, at most
one record is written per second. The pending record is written before the step's next
event of another kind, and at `close()`.
"""

import logging
import sys
import threading
from collections.abc import Callable
from typing import Final

from trackerapi.process.clock import pause, steady_seconds

INTERVAL_SECONDS: Final = 1.0
"""Minimum time between two written records of one key."""

_MAX_KEYS: Final = 1000
"""Maximum number of remembered keys; then keys without a recent record are removed."""

_LOG: Final = logging.getLogger("trackerapi")

Key = tuple[str, str | None, str, str | None]
"""Key of events that replace each other: job, step, kind of event, part of the step."""

Write = Callable[[bytes], object]

Line = bytes | Callable[[], bytes]
"""A record, or a function that returns the record at the time of the write.

Empty bytes write nothing.
"""


class Conflation:
    """Writes the first record of a key immediately, later records once a second.

    Safe to share between threads.

    Args:
        write: Writes a record.
        clock: Monotonic clock in seconds, for a caller that calls `write_due()`
            itself. None starts a timer thread while records are pending: the delivery
            thread may be waiting for an answer when a record is due.

    Attributes:
        pending: Newest unwritten record of each key.
    """

    def __init__(self, write: Write, clock: Callable[[], float] | None = None) -> None:
        self.pending: dict[Key, Line] = {}
        self._written_at: dict[Key, float] = {}
        self._write, self._clock = write, clock or steady_seconds
        self._has_timer, self._is_timer_running = clock is None, False
        self._is_closed = False
        # Reentrant: a signal handler may report in the middle of a report.
        self._lock = threading.RLock()

    def offer(self, key: Key, line: Line) -> bool:
        """Write a record, or keep it as pending; return whether it is pending."""
        now = self._clock()
        with self._lock:
            written_at = self._written_at.get(key, -INTERVAL_SECONDS)
            is_early = key in self.pending or now - written_at < INTERVAL_SECONDS
            if is_early and not self._is_closed:
                self.pending[key] = line
                self._start_timer()
                return True
            self._write_line(line)
            self._written_at[key] = now
        return False

    def queue(self, key: Key, line: Line) -> None:
        """Keep a record as pending without blocking; the timer thread writes it.

        Takes no lock, so that an event loop never waits for a thread that writes.
        """
        self.pending[key] = line
        self._start_timer()

    def write_pending(self, provider_job_id: str, tag: str | None) -> None:
        """Write the pending records of a step; of the whole job if `tag` is None."""
        with self._lock:
            for key in list(self.pending):
                if key[0] == provider_job_id and tag in (None, key[1]):
                    self._write_key(key)

    def write_due(self) -> float | None:
        """Write due records; return the seconds until the next due record, or None.

        A record is due `INTERVAL_SECONDS` after the last written record of its key.
        """
        now = self._clock()
        next_due: float | None = None
        with self._lock:
            for key in list(self.pending):
                written_at = self._written_at.get(key, -INTERVAL_SECONDS)
                remaining = written_at + INTERVAL_SECONDS - now
                if remaining <= 0 or self._is_closed:
                    self._write_key(key)
                elif next_due is None or remaining < next_due:
                    next_due = remaining
            self._forget_old_keys(now)
        return next_due

    def write_all(self) -> None:
        """Write all pending records."""
        with self._lock:
            for key in list(self.pending):
                self._write_key(key)

    def close(self) -> None:
        """Write all pending records; from now on, write each record immediately.

        Another thread may report while the tracker closes: its record must not stay
        pending.
        """
        with self._lock:
            self._is_closed = True
            self.write_all()

    def _start_timer(self) -> None:
        # While the interpreter finalizes, `Thread.start()` would block for ever.
        if not self._has_timer or self._is_timer_running or sys.is_finalizing():
            return
        self._is_timer_running = True
        try:
            threading.Thread(
                target=self._run_timer, name="trackerapi-progress", daemon=True
            ).start()
        except RuntimeError:  # the interpreter ends, or there are too many threads
            self._is_timer_running = False
            self.write_due()
        except BaseException:  # Ctrl-C: the next record starts the timer
            self._is_timer_running = False
            raise

    def _run_timer(self) -> None:
        while True:
            seconds: float | None = INTERVAL_SECONDS
            try:
                seconds = self.write_due()
            except BaseException as error:  # noqa: BLE001
                # An OutboxError was logged before; `before_send` may call `sys.exit()`.
                _LOG.debug("progress was not written", exc_info=error)
            # The flag is cleared before the check. A record that becomes pending
            # between the two is seen by the check, or `_start_timer()` starts a thread.
            self._is_timer_running = False
            if not self.pending:
                return
            self._is_timer_running = True
            pause(INTERVAL_SECONDS if seconds is None else seconds)

    def _write_key(self, key: Key) -> None:
        line = self.pending.get(key)
        if line is None:  # a signal handler in this thread has written the record
            return
        self._write_line(line)
        self._written_at[key] = self._clock()
        # Removed after the write: a failed write must not lose the record.
        newest = self.pending.pop(key, None)
        if newest is not None and newest is not line:
            # `queue()` or a signal handler has replaced the record during the write.
            self.pending.setdefault(key, newest)

    def _write_line(self, line: Line) -> None:
        record = line() if callable(line) else line
        if record:
            self._write(record)

    def _forget_old_keys(self, now: float) -> None:
        # A service that tracks job after job would otherwise remember every key.
        if len(self._written_at) > _MAX_KEYS:
            for key, at in list(self._written_at.items()):
                if now - at > INTERVAL_SECONDS and key not in self.pending:
                    del self._written_at[key]
