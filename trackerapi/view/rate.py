"""How fast a step goes and how long it will take, from what was seen of it.

Times come in as arguments; nothing here reads a clock.
"""

from collections import deque
from typing import Final

WINDOW_SECONDS: Final = 60.0
"""How far back the speed of a step is looked at."""

SHORTEST_SECONDS: Final = 1.0
"""Below this nobody can tell a speed."""

_SPACING_SECONDS: Final = 1.0


class Pace:
    """The speed of one step over its last minute.

    Units that were done before this run must not be seen here: they took no time.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()

    def see(self, at: float, worked: float) -> None:
        """Note what has been worked.

        Args:
            at: Monotonic time in seconds, not before the last one.
            worked: Units in all since the step began.
        """
        seen = self._seen
        if seen and worked < seen[-1][1]:
            seen.clear()  # the step has begun anew
        if len(seen) > 1 and seen[-1][0] - seen[-2][0] < _SPACING_SECONDS:
            seen[-1] = (at, worked)
        else:
            seen.append((at, worked))
        while len(seen) > 2 and at - seen[1][0] >= WINDOW_SECONDS:
            seen.popleft()

    @property
    def rate(self) -> float | None:
        """Units a second, more than 0; None while nobody can tell."""
        if len(self._seen) < 2:
            return None
        (began_at, before), (at, worked) = self._seen[0], self._seen[-1]
        if at - began_at < SHORTEST_SECONDS or worked <= before:
            return None
        return (worked - before) / (at - began_at)


def seconds_left(
    rate: float | None, completed: float, total: float | None
) -> float | None:
    """Return how long the rest of a step takes; None if nobody can tell.

    Args:
        rate: Units a second; None if unknown.
        completed: Units done, those of earlier runs among them.
        total: Units in all; None if unknown.
    """
    if rate is None or total is None:
        return None
    return max(total - completed, 0.0) / rate
