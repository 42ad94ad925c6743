"""Prelude that makes the wall clock of its process jump back and forth.

The monotonic clock stays correct, as after a change of the system time.
"""

import itertools
import time

_JUMPS = itertools.cycle((0, 3600, -3600, 2 * 86_400, -2 * 86_400, 1, -1))
_CALLS_BETWEEN_JUMPS = 7
_true_time_ns = time.time_ns
_calls = itertools.count(1)
_offset_seconds = 0


def _time_ns() -> int:
    global _offset_seconds  # noqa: PLW0603 - one clock per process
    if next(_calls) % _CALLS_BETWEEN_JUMPS == 0:
        _offset_seconds = next(_JUMPS)
    return _true_time_ns() + _offset_seconds * 1_000_000_000


def _time() -> float:
    return _time_ns() / 1_000_000_000


time.time_ns, time.time = _time_ns, _time
