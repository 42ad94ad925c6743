"""Counts of the delivered and dropped events of one TrackerApi."""

import threading


class Counters:
    """Counts of events of one TrackerApi; safe to share between threads.

    Attributes:
        delivered: Events that the backend accepted.
        dropped: Lost events by the reason.
        last_error: Reason for which the last attempt to deliver failed; None if it
            did not fail.
    """

    def __init__(self) -> None:
        # Reentrant: a signal handler may report while its thread is counting.
        self._lock = threading.RLock()
        self.delivered = 0
        self.dropped: dict[str, int] = {}
        self.last_error: str | None = None

    def count_delivered(self, count: int) -> None:
        """Add to the events that the backend accepted."""
        with self._lock:
            self.delivered += count

    def count_dropped(self, reason: str, count: int = 1) -> None:
        """Add to the lost events of a reason."""
        if count:
            with self._lock:
                self.dropped[reason] = self.dropped.get(reason, 0) + count
