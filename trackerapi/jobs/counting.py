"""Counts of the units of a step, the lock of all counts, and the names of parts.

Progress is reported at most once a second and step. A forked child counts for itself:
its counts begin at 0 and carry the name of its part, so that the backend adds them up.
Neither host names nor process ids make a name: two containers may share both.
"""

import functools
import hashlib
import os
import sys
import threading
from typing import TYPE_CHECKING, Final

from trackerapi.arguments import check_name, check_number
from trackerapi.jobs.options import MAX_UNITS, EventDetails
from trackerapi.number_text import number_text

if TYPE_CHECKING:
    from trackerapi.jobs.job import TrackerJob


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


class UnitCount:
    """Counts the units of one step; safe to share between threads and across forks.

    Args:
        job: Handle of the job.
        tag: Tag of the step.

    Attributes:
        completed: Units that this process has done.
        resumed: Those of them that were done before it: no measure of its speed.
        total: Units in all; None while nobody knows.
    """

    def __init__(self, job: "TrackerJob", tag: str) -> None:
        self._job, self._tag = job, tag
        self._forks, self._is_forked = COUNTING.forks, False
        self.begin()

    def begin(self) -> None:
        """Begin at nothing."""
        self.completed: float = 0
        self.resumed: float = 0
        self.total: float | None = None
        self._failed_count = 0
        self._is_total_given = False
        self._fraction: float | None = None
        self._is_offered = self._has_ended = False

    def end(self) -> None:
        """Let the next thing that is counted begin at nothing again."""
        self._has_ended = True

    def renew(self) -> None:
        """Begin at nothing if what was counted before has ended."""
        if self._has_ended:
            self.begin()

    def add(self, units: float, *, is_resumed: bool = False) -> None:
        """Count units that are done; what is no number of them counts for nothing.

        Args:
            units: How many.
            is_resumed: Whether they were done before this process began.
        """
        if not units >= 0:  # nor is NaN
            return
        with COUNTING.lock:
            self._begin_if_ended()
            self.completed += units
            if is_resumed:
                self.resumed += units
        self._offer()

    def add_failed(self) -> int:
        """Count an item that failed; return how many there are."""
        with COUNTING.lock:
            self._begin_if_ended()
            self._failed_count += 1
            return self._failed_count

    @property
    def remark(self) -> str | None:
        """What the customer reads of items that failed; None without any."""
        if not self._failed_count or self._has_ended:
            return None
        of_all = f" of {number_text(self.total)}" if self.total else ""
        return f"{self._failed_count:,}{of_all} could not be processed."

    def expect(self, units: float) -> None:
        """Add the units of a loop to the total, unless the author has said it.

        Where several places count, a loop is a share of the step, and only the author
        knows the total.

        Raises:
            TypeError: If `units` is no number.
            ValueError: If it is out of range.
        """
        units = check_number("total", units, MAX_UNITS) or 0
        with COUNTING.lock:
            self._begin_if_ended()
            if self._is_total_given or self._is_forked or self._job.part is not None:
                return
            self.total = (self.total or 0) + units
        self._offer()

    def set_total(self, units: float | None) -> None:
        """Take the total that the author says; raises as `expect()`."""
        total = check_number("total", units, MAX_UNITS)
        with COUNTING.lock:
            self._begin_if_ended()
            self.total = total
            self._is_total_given = units is not None
        self._offer()

    def set_fraction(self, share: float) -> None:
        """Take a share instead of units; raises as `expect()`."""
        fraction = check_number("fraction", share, 1.0)
        with COUNTING.lock:
            self._begin_if_ended()
            self._fraction = fraction
        self._offer()

    def _begin_if_ended(self) -> None:
        """Begin at nothing where what was counted has ended, or is the parent's."""
        if self._forks != COUNTING.forks:
            self._begin_in_child()
        self.renew()

    def _begin_in_child(self) -> None:
        total, is_given = self.total, self._is_total_given
        self.begin()
        self.total, self._is_total_given = total, is_given
        self._forks, self._is_forked = COUNTING.forks, True

    def _offer(self) -> None:
        if not self._is_offered:
            self._is_offered = True
            # Each time another object, by which conflation knows a newer offer.
            newest = functools.partial(self._newest)
            try:
                self._job.offer_progress(self._tag, newest)
            except BaseException:  # Ctrl-C: else nothing was ever offered again
                self._is_offered = False
                raise

    def _newest(self) -> EventDetails:
        # First, so that what is counted from now on is offered again.
        self._is_offered = False
        details: EventDetails = {}
        if self._fraction is not None:
            details["fraction"] = self._fraction
        if self.completed or self._fraction is None:
            details["completed"] = min(self.completed, MAX_UNITS)
        if self.total is not None:
            details["total"] = min(self.total, MAX_UNITS)
        part = self._job.part
        if self._is_forked:
            part = forked_part(part)
        if part is not None:
            details["part"] = part
        return details
