"""Counting by several processes at once: the lock of counts, and the names of parts.

A forked child goes on counting for itself: its counts begin at nothing and carry the
name of its part, so that the backend adds them up. Neither host names nor process ids
make a name: two containers may have the same of both.
"""

import hashlib
import os
import sys
import threading
from typing import Final

from trackerapi.texts import check_name

_MAIN: Final = "MainProcess"


class _Counting:
    """The lock of all counts of this process, and the forks that led to it.

    Attributes:
        lock: Held while units are counted.
        forks: How often this process and those that it was forked from were forked.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.forks = 0
        self._word = self._ancestor_word = ""
        self._process_at_fork: object = None

    def begin_anew(self) -> None:
        """Begin in a child, which a lock held by another thread must not stop."""
        self.lock = threading.RLock()
        if self.forks and self._worker_name is None:
            self._ancestor_word = self._word
        self._word = os.urandom(8).hex()
        self._process_at_fork = _multiprocessing_process()[0]
        self.forks += 1

    @property
    def worker(self) -> str:
        """Name of this forked process, which no other process of the job has.

        The name of a worker of multiprocessing is the same in each run of a script, so
        that a run after a crash counts on where the worker of that name was. Others
        have a random word.
        """
        name = self._worker_name
        if name is None:
            return self._word
        # Pools of two forked processes number their workers alike.
        return f"{self._ancestor_word}/{name}" if self._ancestor_word else name

    @property
    def _worker_name(self) -> str | None:
        """Name that multiprocessing has given to this process; None without one."""
        process, name = _multiprocessing_process()
        # A child of `os.fork()` inherits the name of its parent.
        return None if process is self._process_at_fork or name == _MAIN else name


COUNTING: Final = _Counting()
if hasattr(os, "register_at_fork"):  # not where there is no fork
    os.register_at_fork(after_in_child=COUNTING.begin_anew)


def forked_part(place: str | None) -> str:
    """Return the name of the part that this forked process counts.

    Args:
        place: Part of the attached handle that the process has from its parent, which
            tells it from workers of the same name elsewhere; None where the job was
            begun.
    """
    worker = COUNTING.worker
    part = worker if place is None else f"{place}/{worker}"
    try:
        return check_name("part", part)
    except ValueError:  # too long, or the author named the process so
        seed = part.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(seed, digest_size=8).hexdigest()


def attached_part() -> str:
    """Return a name for the part that a handle attached to a job counts: random."""
    return os.urandom(8).hex()


def _multiprocessing_process() -> tuple[object, str]:
    """Return what multiprocessing takes this process for, and its name."""
    module = sys.modules.get("multiprocessing.process")
    current_process = getattr(module, "current_process", None)
    if current_process is None:  # not loaded, or another thread is at it
        return None, _MAIN
    process = current_process()
    return process, str(process.name)
