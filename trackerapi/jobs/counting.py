"""What a step has done, in units or as a share; reported at most once a second."""

import functools
from typing import TYPE_CHECKING

from trackerapi.arguments import check_number
from trackerapi.jobs.options import MAX_UNITS, EventDetails
from trackerapi.jobs.parts import COUNTING, forked_part
from trackerapi.number_text import number_text

if TYPE_CHECKING:
    from trackerapi.jobs.job import TrackerJob


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
