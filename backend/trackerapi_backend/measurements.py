"""Measurements of this process, which `/metrics` shows: counts and durations.

Only one thread adds to each measurement, so the measurements need no lock.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from itertools import accumulate

BOUNDS_SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Upper bounds of the buckets of durations, in seconds."""
NO_OPERATION = "none"
"""Label of requests for unknown paths and of requests that are not valid HTTP.

The path is no label: any client could send new paths, and each needs memory."""


class Histogram:
    """Number of durations in each bucket.

    Attributes:
        sum_seconds: Sum of all durations, in seconds.
    """

    def __init__(self) -> None:
        # The last bucket has the durations above all bounds.
        self._counts = [0] * (len(BOUNDS_SECONDS) + 1)
        self.sum_seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self._counts[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self.sum_seconds += seconds

    def cumulative_counts(self) -> list[int]:
        """Return the number of durations up to each bound, then of all durations."""
        return list(accumulate(self._counts))


class RequestMeasurements:
    """Counts and durations of answered requests; the event loop adds them.

    Attributes:
        counts: Number of requests by operation and status.
        seconds: Durations of requests by operation.
    """

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, int]] = Counter()
        self.seconds: dict[str, Histogram] = {}

    def add(self, operation: str | None, status: int, seconds: float) -> None:
        """Count a request and its duration; `operation` is None for an unknown path."""
        operation = operation or NO_OPERATION
        self.counts[operation, status] += 1
        durations = self.seconds.get(operation)
        if durations is None:
            durations = self.seconds[operation] = Histogram()
        durations.add(seconds)


requests = RequestMeasurements()
"""Requests of this process, including requests that are not valid HTTP."""
events: Counter[str] = Counter(accepted=0, duplicate=0, rejected=0)
"""Number of reported events for each outcome; the event loop adds them."""
