"""Elapsed time for waits and deadlines, which tests of a job script cannot stop.

Tests replace `time.monotonic` and `time.sleep`, or freeze the whole module `time`. A
deadline on a frozen clock never passes, and one that was computed on a frozen clock may
lie years ahead once the real clock is back.
"""

import threading
import time


def steady_seconds() -> float:
    """Return seconds on a clock that only moves forward; for differences only."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def pause(seconds: float) -> None:
    """Block the calling thread for `seconds`, 0 or more."""
    # Not `time.sleep()`: where a test makes it return at once, a thread would spin.
    threading.Event().wait(seconds)
