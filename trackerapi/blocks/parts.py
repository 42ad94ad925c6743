"""Counting in several places at once: the lock of counts, and who counts.

A forked child goes on counting for itself: its counts begin at nothing and carry the
name of its part, so that the backend adds them up.
"""

import hashlib
import os
import sys
import threading
from typing import Final


class _Counting:
    """The lock of all counts of this process, and how often it was forked."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.forks = 0

    def begin_anew(self) -> None:
        """Begin in a child, which a lock held by another thread must not stop."""
        self.lock = threading.RLock()
        self.forks += 1


COUNTING: Final = _Counting()
if hasattr(os, "register_at_fork"):  # not where there is no fork
    os.register_at_fork(after_in_child=COUNTING.begin_anew)


def forked_part() -> str:
    """Return the name of the part that this forked process counts.

    The name of a worker of multiprocessing is the same in each run of a script, so
    that a run after a crash counts on where the worker of that name was.
    """
    process = sys.modules.get("multiprocessing.process")
    name = str(process.current_process().name) if process else "MainProcess"
    return f"pid-{os.getpid()}" if name == "MainProcess" else name


def attached_part() -> str:
    """Return the name of the part that a process attached to a job counts.

    The same for a container that is started again under its name, and another one for
    each process of a machine. The name of the machine cannot be read from it.
    """
    seed = f"{os.uname().nodename}:{os.getpid()}"
    return hashlib.blake2b(seed.encode(), digest_size=8).hexdigest()
