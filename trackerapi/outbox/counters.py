"""Counts of the delivered and dropped events of one TrackerApi."""

import threading


class Counters:
    """Counts of events of one TrackerApi; safe to share between threads.

    Attributes:
        delivered: Number of events that the backend accepted, duplicates included.
        dropped: Number of lost events by reason.
        last_error: Reason of the last failed attempt to deliver; None if the last
            attempt succeeded.
    """

    def __init__(self) -> None:
        # Reentrant: a signal handler may report while its thread is counting.
        self._lock = threading.RLock()
        self.delivered = 0
        self.dropped: dict[str, int] = {}
        self.last_error: str | None = None

    def count_delivered(self, count: int) -> None:
        """Add `count` to the number of delivered events."""
        with self._lock:
            self.delivered += count

    def count_dropped(self, reason: str, count: int = 1) -> None:
        """Add `count` to the number of events that were lost for `reason`."""
        if count:
            with self._lock:
                self.dropped[reason] = self.dropped.get(reason, 0) + count
