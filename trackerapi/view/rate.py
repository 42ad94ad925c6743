"""Rate and remaining time of a step. Pure: callers pass the times."""

from collections import deque
from typing import Final

WINDOW_SECONDS: Final = 60.0
"""Length of the window of the rate, in seconds."""

MIN_SECONDS: Final = 1.0
"""Minimum time between the first and last sample of a rate, in seconds."""

_SPACING_SECONDS: Final = 1.0


class RateMeter:
    """Rate of one step over its last minute.

    Callers leave out the units of earlier runs: those units took no time in this run.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque()

    def add(self, at: float, worked: float) -> None:
        """Add a sample.

        Args:
            at: Monotonic time in seconds; at least the time of the previous sample.
            worked: Units done in this run since the step began.
        """
        samples = self._samples
        if samples and worked < samples[-1][1]:
            samples.clear()  # Fewer units than before: the step has begun again.
        if len(samples) > 1 and samples[-1][0] - samples[-2][0] < _SPACING_SECONDS:
            samples[-1] = (at, worked)
        else:
            samples.append((at, worked))
        while len(samples) > 2 and at - samples[1][0] >= WINDOW_SECONDS:
            samples.popleft()

    @property
    def rate(self) -> float | None:
        """Units a second, more than 0; None if unknown."""
        if len(self._samples) < 2:
            return None
        (began_at, before), (at, worked) = self._samples[0], self._samples[-1]
        if at - began_at < MIN_SECONDS or worked <= before:
            return None
        return (worked - before) / (at - began_at)


def seconds_left(
    rate: float | None, completed: float, total: float | None
) -> float | None:
    """Return the remaining time of a step; None if unknown.

    Args:
        rate: Units a second; None if unknown.
        completed: Units done, including the units of earlier runs.
        total: Units in all; None if unknown.
    """
    if rate is None or total is None:
        return None
    return max(total - completed, 0.0) / rate
