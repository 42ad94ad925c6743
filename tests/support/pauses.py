"""Recorded pauses of a delivery loop, for tests without a clock."""

import threading
from collections.abc import Callable

from tests.support.memory_backend import PATIENCE_SECONDS
from trackerapi.delivery.loop import DeliveryLoop, SignalSafeEvent


class Pauses(SignalSafeEvent):
    """Replacement for the wake-up event of a delivery loop that records the pauses.

    Attributes:
        seconds: Requested duration of each pause.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._begun = threading.Condition()

    @classmethod
    def of(cls, loop: DeliveryLoop) -> "Pauses":
        """Replace the event of a delivery loop that has not started yet."""
        pauses = cls()
        loop._wake = pauses
        return pauses

    def wait(self, seconds: float) -> None:
        """Record the pause and wait."""
        with self._begun:
            self.seconds.append(seconds)
            self._begun.notify_all()
        super().wait(seconds)

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait for a pause at whose start `holds()` is true; fail after a timeout."""
        with self._begun:
            assert self._begun.wait_for(holds, PATIENCE_SECONDS), (
                f"no pause met the condition within {PATIENCE_SECONDS:g} s"
            )

    def wait_for(self, at_least_seconds: float, *, behind: int = 0) -> None:
        """Wait for a pause with a requested minimum duration.

        Args:
            at_least_seconds: Minimum duration.
            behind: Number of pauses to ignore at the start.
        """
        self.wait_until(
            lambda: any(each >= at_least_seconds for each in self.seconds[behind:])
        )
