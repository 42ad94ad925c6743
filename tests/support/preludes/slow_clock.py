"""Prelude that sets the wall clock of its process back by an hour."""

import time

_BEHIND_NS = 3600 * 1_000_000_000
_true_time_ns = time.time_ns


def _time_ns() -> int:
    return _true_time_ns() - _BEHIND_NS


time.time_ns = _time_ns
time.time = lambda: _time_ns() / 1_000_000_000
