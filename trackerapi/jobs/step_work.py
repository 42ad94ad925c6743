"""When a step ends, and how, by the blocks and loops that are open of it.

Threads, tasks and blocks within each other may work at one step at once: the last of
them that is left ends it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from trackerapi.jobs.counting import COUNTING
from trackerapi.jobs.endings import CUT_OFF, STEP_CUT_OFF, ending_of, worse_of

if TYPE_CHECKING:
    from trackerapi.jobs.step import TrackerStep

_SAID: Final = frozenset({"succeeded", "cancelled", "interrupted"})
"""Statuses of a job that the author has given it; no step may take them back."""


class StepEnd:
    """Ends a step once nobody works at it any more; safe to share between threads.

    Args:
        step: Handle of the step.
    """

    def __init__(self, step: "TrackerStep") -> None:
        self._step = step
        self._open_count = self._loop_count = 0
        self._left_by: BaseException | None = None
        self._is_cut_off = False

    def said(self) -> None:
        """Note that it is said where the step stands, which is not cut off then."""
        self._is_cut_off = False

    def begin_block(self, begin: Callable[[], object]) -> None:
        """Begin a block of the step.

        Args:
            begin: Reports it. The block counts before: meanwhile another may be left.
        """
        with COUNTING.lock:
            self._open_count += 1
        try:
            begin()
        except BaseException:
            self._leave(1, None)
            raise

    def begin_loop(self) -> None:
        """Begin a loop that is all of its step, as far as its code can see."""
        with COUNTING.lock:
            self._open_count += 1
            self._loop_count += 1

    def end_block(self, error: BaseException | None) -> None:
        """End a block that an exception has left, or None."""
        self._end(1, error)

    def end_loop(self, error: BaseException | None) -> None:
        """End such a loop, unless the job has done so."""
        with COUNTING.lock:
            count = min(self._loop_count, 1)
            self._loop_count -= count
        self._end(count, error)

    def end_with_job(self, error: BaseException | None) -> None:
        """End what is still open at the end of the job.

        Args:
            error: What leaves the block of the job; None for nothing.
        """
        with COUNTING.lock:
            count, self._loop_count = self._loop_count, 0
        self._end(count, error)
        if self._step.is_open and ending_of(self._left_by) == "failed":
            # Other tasks still work at it, perhaps in vain; the job does not wait.
            self._fail_by(self._left_by)
        job = self._step.job
        if not self._is_cut_off or job.progress.status in _SAID:
            return
        if job.ending_of(error) not in CUT_OFF:
            # By a timeout, for instance. It would be under way for ever.
            self._step.fail(error=STEP_CUT_OFF)

    def _leave(self, count: int, error: BaseException | None) -> bool:
        """Note that blocks are left; return whether none of the step are open."""
        with COUNTING.lock:
            self._open_count = max(self._open_count - count, 0)
            self._left_by = worse_of(self._left_by, error)
            return not self._open_count

    def _end(self, count: int, error: BaseException | None) -> None:
        if not count or not self._leave(count, error):
            return
        error, self._left_by = self._left_by, None
        step = self._step
        if not step.is_open:  # the author has said how it ended
            return
        ending = step.job.ending_of(error)
        if ending == "succeeded":
            try:
                step.done()
            except (TypeError, ValueError) as misfit:
                self._fail_by(misfit)  # its metadata did not fit
                raise
        elif ending == "failed":
            try:
                self._fail_by(error)
            except (TypeError, ValueError):
                step.fail(error=error)  # without the metadata that did not fit
                raise
        else:
            step.is_open = False  # the end of the job says how it was cut off
            self._is_cut_off = True

    def _fail_by(self, error: BaseException | None) -> None:
        self._step.job.note_failure(error, self._step.tag)
        self._step.fail(error=error)
