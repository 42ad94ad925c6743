"""Internal half of a step handle: its events, its count, and the end of its blocks.

Threads, tasks and nested blocks may work at one step at once: the block or loop that
ends last ends the step.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from trackerapi.arguments import LONGEST_MESSAGE, check_customer_text, check_text
from trackerapi.jobs.counting import COUNTING, UnitCount
from trackerapi.jobs.endings import (
    CUT_OFF,
    STEP_CUT_OFF,
    STEP_FAILED,
    Shown,
    diagnosis,
    ending_of,
    listed,
    worse_of,
)
from trackerapi.jobs.sending import NO_DETAILS

if TYPE_CHECKING:
    from trackerapi.jobs.job_work import JobWork

MAX_ITEM_LINES: Final = 100
"""Failed items of a step with a line of their own; further ones are only counted."""

_REPORTED_ENDS: Final = frozenset({"succeeded", "cancelled", "interrupted"})
"""Statuses that the author has given to the job; no step may change them."""


class StepWork:
    """Reports one step, and ends it with its last block; safe to share between threads.

    Args:
        job: Internal half of the job handle.
        tag: Tag of the step.

    Attributes:
        job: Internal half of the job handle.
        tag: Tag of the step.
        count: Units of the step.
        metadata: Values for the event that ends the step.
        on_failure: Text for the customer if the step fails; None for a neutral
            sentence.
        is_open: Whether this process has started the step and not ended it.
    """

    def __init__(self, job: "JobWork", tag: str) -> None:
        self.job, self.tag = job, tag
        self.count = UnitCount(job.events, tag)
        self.metadata: dict[str, Any] = {}
        self.on_failure: str | None = None
        self.is_open = False
        self._open_count = self._loop_count = 0
        self._left_by: BaseException | None = None
        self._is_cut_off = False

    def start(self) -> None:
        """Report that the step begins; see `TrackerStep.start()`."""
        # The code that begins a step has handled the exception of the step before.
        self.job.remember_failure(None, self.tag)
        if not self.is_open:
            self.count.renew()
        self.is_open = True
        self._is_cut_off = False
        self.job.events.send("start", self.tag)

    def done(self, message: str | None = None) -> None:
        """Report that the step is done; see `TrackerStep.done()`."""
        self._report_end("step", message or self.count.remark)

    def fail(
        self, customer: str | None = None, error: BaseException | str | None = None
    ) -> None:
        """Report that the step has failed; see `TrackerStep.fail()`."""
        given = check_customer_text(customer, LONGEST_MESSAGE)
        message = given or self.on_failure or STEP_FAILED
        self._report_end("error", message, diagnosis(error))

    def skip(self, reason: str | None = None) -> None:
        """Report that the step is not needed; see `TrackerStep.skip()`."""
        self._report_end("skip", reason)

    def note(self, text: str) -> None:
        """Add a line for the customer; see `TrackerStep.note()`."""
        message = check_text("text", text, LONGEST_MESSAGE)
        self.job.events.send("info", self.tag, details={"message": message})

    def detail(self, text: str | None, values: dict[str, object]) -> None:
        """Add a line for the provider; see `TrackerStep.detail()`."""
        self.job.events.send("info", self.tag, details={"detail": listed(text, values)})

    def item_failed(
        self, item: object, customer: str | None, error: BaseException | str | None
    ) -> None:
        """Report that one item failed; see `TrackerStep.item_failed()`."""
        message = check_customer_text(customer, LONGEST_MESSAGE)
        if self.count.add_failed() <= MAX_ITEM_LINES:
            detail = listed(diagnosis(error), {"item": Shown(item)})
            details = {"message": message, "detail": detail}
            self.job.events.send("info", self.tag, details=details)

    def attempt_failed(
        self, number: int, count: int, error: BaseException | str
    ) -> None:
        """Report that an attempt failed and that another attempt follows.

        Args:
            number: Number of the attempt; 1 for the first.
            count: Attempts at most.
            error: For the provider: an exception, or a text.
        """
        details = {
            "retrying": True,
            "message": f"Attempt {number} of {count} did not work; trying again.",
            "detail": diagnosis(error),
        }
        self.job.events.send("error", self.tag, details=details)

    def post(self, work: Callable[[], object]) -> None:
        """Leave `work` to the worker thread; see `JobWork.post()`."""
        self.job.post(work)

    def begin_block(self) -> None:
        """Report that a block of the step begins."""
        # Counted before the report: another block may end during the report, and must
        # not end the step.
        with COUNTING.lock:
            self._open_count += 1
        try:
            self.start()
        except BaseException:
            self._close(1, None)
            raise

    def begin_loop(self) -> None:
        """Count a loop that is the whole body of the step."""
        with COUNTING.lock:
            self._open_count += 1
            self._loop_count += 1

    def end_block(self, error: BaseException | None) -> None:
        """End a block of the step.

        Args:
            error: Exception that left the block; None for none.
        """
        self._end(1, error)

    def end_loop(self, error: BaseException | None = None) -> None:
        """End a loop of `begin_loop()`, unless the end of the job has ended it.

        Args:
            error: Exception that left the loop; None for none.
        """
        with COUNTING.lock:
            count = min(self._loop_count, 1)
            self._loop_count -= count
        self._end(count, error)

    def end_with_job(self, error: BaseException | None) -> None:
        """End the loops of the step that are open at the end of the job.

        Args:
            error: Exception that left the block of the job; None for none.
        """
        with COUNTING.lock:
            count, self._loop_count = self._loop_count, 0
        self._end(count, error)
        if self.is_open and ending_of(self._left_by) == "failed":
            # Other tasks still work at the step, perhaps in vain; the job does not
            # wait for them.
            self._fail_by(self._left_by)
        status = self.job.events.progress.status
        if not self._is_cut_off or status in _REPORTED_ENDS:
            return
        if self.job.ending_of(error) not in CUT_OFF:
            # Only the step was cancelled, for instance by a timeout. Without this
            # report the step would be running for ever.
            self.fail(error=STEP_CUT_OFF)

    def _close(self, count: int, error: BaseException | None) -> bool:
        """Take blocks from the count; return whether no block of the step is open."""
        # The lock lets one thread alone see the count reach 0, and end the step.
        with COUNTING.lock:
            self._open_count = max(self._open_count - count, 0)
            self._left_by = worse_of(self._left_by, error)
            return not self._open_count

    def _end(self, count: int, error: BaseException | None) -> None:
        """End blocks; with the last one, end the step."""
        if not count or not self._close(count, error):
            return
        error, self._left_by = self._left_by, None
        if not self.is_open:  # the author has reported the end
            return
        ending = self.job.ending_of(error)
        if ending == "succeeded":
            try:
                self.done()
            except (TypeError, ValueError) as misfit:
                self._fail_by(misfit)  # the metadata did not fit
                raise
        elif ending == "failed":
            try:
                self._fail_by(error)
            except (TypeError, ValueError):
                self.fail(error=error)  # without the metadata that did not fit
                raise
        else:
            self.is_open = False  # the end of the job says how the step was cut off
            self._is_cut_off = True

    def _fail_by(self, error: BaseException | None) -> None:
        self.job.remember_failure(error, self.tag)
        self.fail(error=error)

    def _report_end(
        self, kind: str, message: str | None, detail: str | None = None
    ) -> None:
        self.is_open = self._is_cut_off = False
        metadata, self.metadata = self.metadata, {}
        has_text = message is not None or detail is not None
        details = {"message": message, "detail": detail} if has_text else NO_DETAILS
        self.job.events.send(kind, self.tag, metadata or None, details=details)
        # Last: the event releases pending progress, which still needs the count.
        self.count.end()
