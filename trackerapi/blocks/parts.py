"""Counting in several places at once: the lock of counts, and who counts.

A forked child goes on counting for itself: its counts begin at nothing and carry the
name of its part, so that the backend adds them up.
"""

import hashlib
import os
import sys
import threading
from typing import Final

from trackerapi.texts import LONGEST_NAME


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


def forked_part(place: str | None) -> str:
    """Return the name of the part that this forked process counts.

    The name of a worker of multiprocessing is the same in each run of a script, so
    that a run after a crash counts on where the worker of that name was.

    Args:
        place: Part of the attached place that it was forked from, which tells it from
            workers of the same name elsewhere; None where the job was begun.
    """
    process = sys.modules.get("multiprocessing.process")
    name = str(process.current_process().name) if process else "MainProcess"
    worker = f"pid-{os.getpid()}" if name == "MainProcess" else name
    if place is None:
        return worker
    part = f"{place}/{worker}"
    return part if len(part) <= LONGEST_NAME else _digest(part)


def attached_part() -> str:
    """Return the name of the part that a process attached to a job counts.

    The same for a container that is started again under its name, and another one for
    each process of a machine. The name of the machine cannot be read from it.
    """
    return _digest(f"{os.uname().nodename}:{os.getpid()}")


def _digest(seed: str) -> str:
    return hashlib.blake2b(seed.encode(), digest_size=8).hexdigest()
