"""Progress and heartbeats, of which only the newest counts.

A job may report progress a million times; one record a second and step is written,
the newest before the step's next event, and the last one always.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

INTERVAL_SECONDS: Final = 1.0

Key = tuple[str, str | None, str]
"""A job, a step of it, and the kind of event."""

Write = Callable[[bytes], object]


class Conflation:
    """Passes the first record of a kind on, then at most one a second.

    Safe to share between threads.

    Args:
        write: Writes a record.
        clock: Monotonic clock in seconds.

    Attributes:
        pending: The newest records not written yet.
    """

    def __init__(
        self, write: Write, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.pending: dict[Key, bytes] = {}
        self._written_at: dict[Key, float] = {}
        self._write, self._clock = write, clock
        self._lock = threading.RLock()

    def offer(self, key: Key, line: bytes) -> bool:
        """Write a record, or keep it until its time comes; True if that is new."""
        now = self._clock()
        with self._lock:
            if key in self.pending:
                self.pending[key] = line
                return False
            if now - self._written_at.get(key, -INTERVAL_SECONDS) < INTERVAL_SECONDS:
                self.pending[key] = line
                return True
            self._written_at[key] = now
            self._write(line)
        return False

    def release(self, provider_job_id: str, tag: str | None) -> None:
        """Write what is kept of a step, or of the whole job, before its next event."""
        with self._lock:
            for key in list(self.pending):
                if key[0] == provider_job_id and tag in (None, key[1]):
                    self._write_pending(key)

    def release_due(self) -> float | None:
        """Write what is due; return the seconds until more is, None without more."""
        now = self._clock()
        soonest: float | None = None
        with self._lock:
            for key in list(self.pending):
                left = self._written_at[key] + INTERVAL_SECONDS - now
                if left <= 0:
                    self._write_pending(key)
                elif soonest is None or left < soonest:
                    soonest = left
            self._forget_old(now)
        return soonest

    def release_all(self) -> None:
        """Write all that is kept."""
        with self._lock:
            for key in list(self.pending):
                self._write_pending(key)

    def _write_pending(self, key: Key) -> None:
        self._written_at[key] = self._clock()
        self._write(self.pending.pop(key))

    def _forget_old(self, now: float) -> None:
        # A service that tracks job after job must not remember them all.
        if len(self._written_at) > 1000:
            for key, at in list(self._written_at.items()):
                if now - at > INTERVAL_SECONDS and key not in self.pending:
                    del self._written_at[key]
