"""Clocks that keep working while a test of a job script replaces Python's clocks.

Tests replace `time.monotonic` and `time.sleep`, or freeze the whole module `time`. A
deadline on a frozen clock never passes. A deadline from a frozen clock may lie years
ahead of the real clock.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from types import BuiltinFunctionType
from typing import Final

from trackerapi.times import moment_at

_END_NANOSECONDS: Final = 253_402_300_800 * 10**9  # 10000-01-01 in UTC
_true_nanoseconds: Final = partial(time.clock_gettime_ns, time.CLOCK_REALTIME)


def _steady_clock() -> Callable[[], float]:
    # A partial object: freezegun replaces each global name that is a clock function.
    if isinstance(time.monotonic, BuiltinFunctionType):
        return partial(time.monotonic)  # five times faster than `clock_gettime()`
    return partial(time.clock_gettime, time.CLOCK_MONOTONIC)


steady_seconds: Final = _steady_clock()
"""Return the seconds of a monotonic clock, for the difference of two times."""


def wall_nanoseconds() -> int:
    """Return the time in nanoseconds since 1970, before the year 10000.

    Reads `time.time_ns()`, so that a test can freeze or move this clock. If the
    function of a test raises or returns an invalid time, the system's clock is read.
    """
    try:
        now: object = time.time_ns()
    except Exception:  # noqa: BLE001 - a replacement may raise anything
        return _true_nanoseconds()
    if type(now) is int and 0 <= now < _END_NANOSECONDS:
        return now
    return _true_nanoseconds()


def utc_now() -> datetime:
    """Return the time of `wall_nanoseconds()` as an aware datetime."""
    return moment_at(wall_nanoseconds() // 1000)


def pause(seconds: float) -> None:
    """Block the calling thread for `seconds`, 0 or more."""
    # Tests make `time.sleep()` return immediately: with it, threads would spin.
    threading.Event().wait(seconds)
