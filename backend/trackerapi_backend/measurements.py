"""Measurements of this process, which `/metrics` shows: counts and durations.

One thread alone adds to a measurement, so no measurement needs a lock.
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
"""Operation of requests that belong to none: unknown paths, requests that are not HTTP.

A path as the operation would let any client make the list of operations longer."""


class Histogram:
    """Numbers of durations in buckets.

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
        """Return for each bound the number of durations up to it; at last of all."""
        return list(accumulate(self._counts))


class RequestMeasurements:
    """Requests that are answered; the event loop adds them.

    Attributes:
        counts: Number of requests by operation and status.
        seconds: Durations of requests by operation.
    """

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, int]] = Counter()
        self.seconds: dict[str, Histogram] = {}

    def add(self, operation: str | None, status: int, seconds: float) -> None:
        """Count a request; None is the operation of an unknown path."""
        operation = operation or NO_OPERATION
        self.counts[operation, status] += 1
        durations = self.seconds.get(operation)
        if durations is None:
            durations = self.seconds[operation] = Histogram()
        durations.add(seconds)


requests = RequestMeasurements()
"""Requests of this process, with those that are not valid HTTP."""
events: Counter[str] = Counter(accepted=0, duplicate=0, rejected=0)
"""Number of events of reports by their outcome; the event loop adds them."""
