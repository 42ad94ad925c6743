"""Waits of tests, and the time that a busy machine may add."""

import threading
import time
from collections.abc import Callable
from typing import Final

SLACK_SECONDS: Final = 60.0
"""Time that a busy machine may add; a call that waits for the backend takes longer."""


_PAUSE: Final = threading.Event()


def await_true(is_so: Callable[[], bool], seconds: float) -> None:
    """Look at what nobody tells of until it is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "did not come in time"
        _PAUSE.wait(0.01)
