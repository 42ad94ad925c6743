"""Waits of tests, and the tolerance for busy machines."""

import threading
import time
from collections.abc import Callable
from typing import Final

SLACK_SECONDS: Final = 60.0
"""Tolerance for a busy machine, in seconds; shorter than a wait for the backend."""


_PAUSE: Final = threading.Event()


def await_true(is_so: Callable[[], bool], seconds: float) -> None:
    """Poll a condition until it is true; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, (
            f"the condition was not true after {seconds:g} s"
        )
        _PAUSE.wait(0.01)
