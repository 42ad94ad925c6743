"""How long a courier meant to sleep, for tests that must not look at a clock."""

import threading
from collections.abc import Callable

from tests.support.memory_backend import PATIENCE_SECONDS
from trackerapi.delivery.loop import DeliveryLoop, SignalSafeEvent


class Pauses(SignalSafeEvent):
    """Stands in for the bell that wakes a courier, and remembers its naps.

    Attributes:
        seconds: How long each nap was to last.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._begun = threading.Condition()

    @classmethod
    def of(cls, loop: DeliveryLoop) -> "Pauses":
        """Watch a courier that was not started yet."""
        pauses = cls()
        loop._wake = pauses
        return pauses

    def wait(self, seconds: float) -> None:
        """Sleep as told."""
        with self._begun:
            self.seconds.append(seconds)
            self._begun.notify_all()
        super().wait(seconds)

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait for a nap at whose beginning something holds; fail if none comes."""
        with self._begun:
            assert self._begun.wait_for(holds, PATIENCE_SECONDS), "it never came"

    def wait_for(self, at_least_seconds: float, *, behind: int = 0) -> None:
        """Wait for a nap that is meant to last so long.

        Args:
            at_least_seconds: Its least length.
            behind: So many naps are not looked at.
        """
        self.wait_until(
            lambda: any(one >= at_least_seconds for one in self.seconds[behind:])
        )
