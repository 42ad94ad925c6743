"""Retry loop with a time limit, for commands that make requests."""

import math
import time
from collections.abc import Callable
from typing import Final, TypeVar

from trackerapi.errors import AuthenticationError, BackendError, BackendUnavailable
from trackerapi.process.randomness import RANDOM
from trackerapi.retry import backoff_seconds

T = TypeVar("T")

QUIET_SECONDS: Final = 10.0
"""Time without a success after which a command gives up, in seconds."""

MAX_PAUSE_SECONDS: Final = 5.0
"""Maximum pause between two attempts, in seconds."""

MIN_REMAINING_SECONDS: Final = 0.2
"""Remaining time below which no further attempt is made, in seconds."""


class RetryLoop:
    """Retry loop that ends at a time limit, or after some time without a success.

    Args:
        quiet_seconds: Time without a success after which the loop gives up, in seconds;
            ignored if there is a time limit.
        total_seconds: Time limit of all attempts together, in seconds; None for no
            limit.
        pause: Function that blocks for a number of seconds; None for `time.sleep()`.
    """

    def __init__(
        self,
        *,
        quiet_seconds: float = QUIET_SECONDS,
        total_seconds: float | None = None,
        pause: Callable[[float], None] | None = None,
    ) -> None:
        self._quiet_seconds, self._pause = quiet_seconds, pause
        now = time.monotonic()
        self._ends = None if total_seconds is None else now + total_seconds
        self._quiet_since, self._failures = now, 0

    @property
    def remaining_seconds(self) -> float:
        """Time until the time limit, in seconds; infinite without a limit."""
        return math.inf if self._ends is None else self._ends - time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether the time limit has passed; always False without a limit."""
        return self.remaining_seconds <= 0

    def note_success(self) -> None:
        """Restart the time since the last success; the next pause is short again."""
        self._quiet_since, self._failures = time.monotonic(), 0

    def pause_after(self, error: Exception) -> bool:
        """Block until the next attempt is due; return False if the loop gives up.

        Args:
            error: Failure of the last attempt.
        """
        self._failures += 1
        asked = error.retry_after_seconds if isinstance(error, BackendError) else None
        seconds = backoff_seconds(
            self._failures,
            jitter=RANDOM.random(),
            retry_after_seconds=asked,
            longest_seconds=MAX_PAUSE_SECONDS,
        )
        remaining = self.remaining_seconds
        if self._ends is None:
            remaining = self._quiet_since + self._quiet_seconds - time.monotonic()
        if remaining < MIN_REMAINING_SECONDS or (asked or 0.0) > remaining:
            return False
        pause = self._pause or time.sleep
        # Pause for half of the remaining time: the last attempt needs the other half.
        pause(seconds if seconds <= remaining else remaining / 2)
        return True

    def run(self, action: Callable[[], T]) -> T:
        """Call `action` until it succeeds; return its result.

        Raises:
            AuthenticationError: If the backend refuses the key; not repeated.
            BackendError: Error of the last attempt. `AllRecordsFail` is not repeated:
                the backend answers, but accepts no record.
        """
        while True:
            if self.is_over:
                raise BackendUnavailable("the time limit was reached")
            try:
                result = action()
            except AuthenticationError:
                raise
            except BackendError as error:
                if error.exchange.is_backend_up or not self.pause_after(error):
                    raise
            else:
                self.note_success()
                return result
