"""Unit counts of steps, the lock of all counts, and the names of parts.

Each step reports its progress at most once a second. A part is the share of a step that
one process or handle counts; the backend adds up the parts of a step. A forked child
counts a new part, beginning at 0. The name of a part contains no host name and no
process id: two containers may share both.
"""

import functools
import hashlib
import os
import sys
import threading
from typing import TYPE_CHECKING, Final

from trackerapi.arguments import check_name, check_number
from trackerapi.events.event import MAX_UNITS
from trackerapi.number_text import number_text

if TYPE_CHECKING:
    from trackerapi.jobs.sending import Details, EventSender


_MAIN: Final = "MainProcess"


class _Counting:
    """Lock of all counts of this process, and the number of forks that led to it.

    Attributes:
        lock: Held while units are added: without the lock, `+=` in two threads would
            lose units. Reentrant: a signal handler may count while the interrupted code
            has the lock.
        forks: Number of forks between the first process and this one.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.forks = 0
        self._word = self._ancestor_word = ""
        self._process_at_fork: object = None

    def reset_in_child(self) -> None:
        """Make a new lock and a new random name in a forked child.

        At the fork, a thread of the parent may have held the old lock. The thread does
        not exist in the child, so the child's copy of the lock is never released.
        """
        self.lock = threading.RLock()
        if self.forks and self._worker_name is None:
            self._ancestor_word = self._word
        self._word = os.urandom(8).hex()
        self._process_at_fork = _multiprocessing_process()[0]
        self.forks += 1

    @property
    def worker(self) -> str:
        """Name of this forked process, unique among the processes of the job.

        A worker of multiprocessing, such as `ForkPoolWorker-1`, has the same name in
        each run of the script. After a crash, the worker of the next run continues the
        count under this name. Any other process has a random name.
        """
        name = self._worker_name
        if name is None:
            return self._word
        # Two forked processes with a pool each have workers of the same names: the
        # prefix distinguishes the pools.
        return f"{self._ancestor_word}/{name}" if self._ancestor_word else name

    @property
    def _worker_name(self) -> str | None:
        """Name of this worker of multiprocessing; None for any other process."""
        process, name = _multiprocessing_process()
        # A child of `os.fork()` inherits the process object of its parent, with the
        # name of the parent.
        return None if process is self._process_at_fork or name == _MAIN else name


COUNTING: Final = _Counting()
if hasattr(os, "register_at_fork"):  # Systems without fork lack this function.
    os.register_at_fork(after_in_child=COUNTING.reset_in_child)


def forked_part(parent_part: str | None) -> str:
    """Return the name of the part that this forked process counts.

    Args:
        parent_part: Part of the attached handle that this process inherited from its
            parent. The part distinguishes workers of the same name on several hosts.
            None if the handle of the parent is not attached.
    """
    worker = COUNTING.worker
    part = worker if parent_part is None else f"{parent_part}/{worker}"
    try:
        return check_name("part", part)
    except ValueError:
        # The text is too long, or contains control characters: use its hash.
        seed = part.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(seed, digest_size=8).hexdigest()


def attached_part() -> str:
    """Return a random name for the part that an attached handle counts."""
    return os.urandom(8).hex()


def _multiprocessing_process() -> tuple[object, str]:
    """Return the `multiprocessing.Process` of this process, and its name.

    Return None and `MainProcess` if the script has not loaded multiprocessing.
    """
    module = sys.modules.get("multiprocessing.process")
    current_process = getattr(module, "current_process", None)
    if current_process is None:
        # Nobody has loaded the module, or another thread is still loading it.
        return None, _MAIN
    process = current_process()
    return process, str(process.name)


class UnitCount:
    """Units of one step; safe to share between threads and across forks.

    Args:
        events: Sends the events of the job.
        tag: Tag of the step.

    Attributes:
        completed: Units that this process has done, 0 or more.
        resumed: Units in `completed` that were done before this process began; excluded
            from the rate.
        total: Total number of units; None while unknown.
    """

    def __init__(self, events: "EventSender", tag: str) -> None:
        self._events, self._tag = events, tag
        self._forks, self._is_forked = COUNTING.forks, False
        self.begin()
        events.state.counts[tag] = self

    def begin(self) -> None:
        """Reset the count to 0 units, without a total."""
        self.completed: float = 0
        self.resumed: float = 0
        self.total: float | None = None
        self._failed_count = self._reported_failed_count = 0
        self._is_total_given = False
        self._fraction: float | None = None
        self._is_offered = self._has_ended = False

    def end(self) -> None:
        """End the count: the next call that counts begins at 0."""
        self._has_ended = True

    def renew(self) -> None:
        """Reset the count to 0 if it has ended."""
        if self._has_ended:
            self.begin()

    def add(self, units: float, *, is_resumed: bool = False) -> None:
        """Count units that are done.

        Args:
            units: Number of units; negative numbers and NaN are ignored.
            is_resumed: Whether the units were done before this process began.
        """
        # `units < 0` would accept NaN: every comparison with NaN is False.
        if not units >= 0:
            return
        with COUNTING.lock:
            self._begin_if_ended()
            self.completed += units
            if is_resumed:
                self.resumed += units
        self._offer()

    def add_failed(self) -> int:
        """Count a failed item; return the number of failed items so far."""
        with COUNTING.lock:
            self._begin_if_ended()
            self._failed_count += 1
            return self._failed_count

    def offer_failed(self) -> None:
        """Report the failed items of the step, unless they were reported."""
        if self._failed_count > self._reported_failed_count and not self._has_ended:
            self._offer()

    @property
    def remark(self) -> str | None:
        """Sentence for the customer about failed items; None without failed items."""
        if not self._failed_count or self._has_ended:
            return None
        of_all = f" of {number_text(self.total)}" if self.total else ""
        return f"{self._failed_count:,}{of_all} could not be processed."

    def expect(self, units: float) -> None:
        """Add the units of a loop to the total, unless the script has set the total.

        Does nothing in a forked child or for an attached handle: the loop then covers
        only a part of the step, and only the author of the script knows the total.

        Raises:
            TypeError: If `units` is not a number.
            ValueError: If `units` is out of range.
        """
        units = check_number("total", units, MAX_UNITS) or 0
        with COUNTING.lock:
            self._begin_if_ended()
            has_parts = self._is_forked or self._events.part is not None
            if self._is_total_given or has_parts:
                return
            self.total = (self.total or 0) + units
        self._offer()

    def set_total(self, units: float | None) -> None:
        """Set the total that the script gives; raises like `expect()`."""
        total = check_number("total", units, MAX_UNITS)
        with COUNTING.lock:
            self._begin_if_ended()
            self.total = total
            self._is_total_given = units is not None
        self._offer()

    def set_fraction(self, share: float) -> None:
        """Set the share of the step that is done; raises like `expect()`."""
        fraction = check_number("fraction", share, 1.0)
        with COUNTING.lock:
            self._begin_if_ended()
            self._fraction = fraction
        self._offer()

    def _begin_if_ended(self) -> None:
        """Reset the count to 0 if it has ended or was copied from the parent."""
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
            # Make a new object for each offer: conflation recognises a newer offer by
            # the identity of the object.
            newest = functools.partial(self._newest)
            try:
                self._events.offer_progress(self._tag, newest)
            except BaseException:
                # Ctrl-C may have interrupted the offer: the next count offers again.
                self._is_offered = False
                raise

    def _newest(self) -> "Details":
        # Reset the flag before the count is read: units that another thread adds during
        # this call must be offered again.
        self._is_offered = False
        details: dict[str, object] = {}
        if self._fraction is not None:
            details["fraction"] = self._fraction
        failed = self._failed_count
        # A step without units has no count, although items of it failed.
        has_count = self.total is not None or not failed
        if self.completed or (self._fraction is None and has_count):
            details["completed"] = min(self.completed, MAX_UNITS)
        if failed:
            details["failed"], self._reported_failed_count = failed, failed
        if self.total is not None:
            details["total"] = min(self.total, MAX_UNITS)
        part = self._events.part
        if self._is_forked:
            part = forked_part(part)
        if part is not None:
            details["part"] = part
        return details
