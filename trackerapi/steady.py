"""Elapsed time for waits and deadlines, which tests of a job script cannot stop.

Tests replace `time.monotonic` and `time.sleep`, or freeze the whole module `time`. A
deadline on a frozen clock never passes, and one that was computed on a frozen clock may
lie years ahead once the real clock is back.
"""

import sys
import threading
import time
from collections.abc import Callable
from types import BuiltinFunctionType


def steady_seconds() -> float:
    """Return seconds on a clock that only moves forward; for differences only."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def quick_clock() -> Callable[[], float]:
    """Return a clock with the values of `steady_seconds()`, for loops of many items.

    Half the cost where `time.monotonic` is the same clock and no test has replaced it.
    """
    is_same = sys.platform == "linux"
    is_real = isinstance(time.monotonic, BuiltinFunctionType)
    return time.monotonic if is_same and is_real else steady_seconds


def pause(seconds: float) -> None:
    """Block the calling thread for `seconds`, 0 or more."""
    # Not `time.sleep()`: where a test makes it return at once, a thread would spin.
    threading.Event().wait(seconds)
