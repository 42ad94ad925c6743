"""Counts of the delivered and dropped events of one TrackerApi."""

import threading


class Counters:
    """What happened to events of one TrackerApi; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.delivered = 0
        self.dropped: dict[str, int] = {}
        self.last_error: str | None = None

    def count_delivered(self, count: int) -> None:
        """Add events that the backend has taken."""
        with self._lock:
            self.delivered += count

    def count_dropped(self, reason: str, count: int = 1) -> None:
        """Add events that are gone."""
        if count:
            with self._lock:
                self.dropped[reason] = self.dropped.get(reason, 0) + count
