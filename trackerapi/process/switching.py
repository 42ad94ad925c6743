"""Sharing the interpreter with an event loop while a thread does what takes long.

A thread that loads modules or formats a traceback keeps the interpreter for 5 ms at a
time, which is Python's default, and as long an event loop stands still.
"""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

SHORT_INTERVAL_SECONDS: Final = 0.001


@contextmanager
def sharing() -> Generator[None]:
    """Let other threads have the interpreter each millisecond, where a loop may wait.

    Without a lock, which a fork could leave locked: of blocks that overlap, the one
    that has found the usual interval puts it back.
    """
    before = sys.getswitchinterval()
    if "asyncio" not in sys.modules or before <= SHORT_INTERVAL_SECONDS:
        yield
        return
    sys.setswitchinterval(SHORT_INTERVAL_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
