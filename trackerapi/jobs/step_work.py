"""Internal half of a step handle: its events, its count, and the end of its blocks.

Several threads, tasks or nested blocks may run one step at the same time: the last
block or loop that ends also ends the step.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from trackerapi.arguments import (
    LARGEST_ID,
    MAX_MESSAGE_LENGTH,
    check_customer_text,
    check_text,
)
from trackerapi.jobs.counting import COUNTING, UnitCount
from trackerapi.jobs.endings import (
    CUT_OFF,
    STEP_CUT_OFF,
    STEP_FAILED,
    ShortRepr,
    diagnosis,
    ending_of,
    join_values,
    worse_of,
)
from trackerapi.jobs.sending import NO_DETAILS

if TYPE_CHECKING:
    from trackerapi.jobs.job_work import JobWork

MAX_ITEM_LINES: Final = 100
"""Maximum number of failed items of a step with a line each in the timeline; further
failed items are only counted."""

_REPORTED_ENDS: Final = frozenset({"succeeded", "cancelled", "interrupted"})
"""Statuses of a job that the script has reported; the end of a step must not change
them."""


class StepWork:
    """Reports one step; the end of its last open block ends the step.

    Safe to share between threads.

    Args:
        job: Internal half of the job handle.
        tag: Tag of the step.

    Attributes:
        job: Internal half of the job handle.
        tag: Tag of the step.
        count: Units of the step.
        metadata: Metadata for the event that ends the step.
        on_failure: Text for the customer if the step fails; None for a neutral
            sentence.
        is_open: Whether this handle has started the step, and no block or call of this
            handle has ended it.
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
        # Forget the exception of the previous step: code that begins another step has
        # handled the exception.
        self.job.remember_failure(None, self.tag)
        if not self.is_open:
            self.count.renew()
        self._set_open(is_open=True)
        self.job.events.send("start", self.tag)

    def done(self, message: str | None = None) -> None:
        """Report that the step is done; see `TrackerStep.done()`."""
        self._report_end("step", message or self.count.remark)

    def fail(
        self, customer: str | None = None, error: BaseException | str | None = None
    ) -> None:
        """Report that the step has failed; see `TrackerStep.fail()`."""
        given = check_customer_text(customer, MAX_MESSAGE_LENGTH)
        message = given or self.on_failure or STEP_FAILED
        self._report_end("error", message, diagnosis(error))

    def skip(self, reason: str | None = None) -> None:
        """Report that the step is not needed; see `TrackerStep.skip()`."""
        self._report_end("skip", reason)

    def note(self, text: str) -> None:
        """Add a line for the customer; see `TrackerStep.note()`."""
        message = check_text("text", text, MAX_MESSAGE_LENGTH)
        self.job.events.send("info", self.tag, details={"message": message})

    def detail(self, text: str | None, values: dict[str, object]) -> None:
        """Add a line for the provider; see `TrackerStep.detail()`."""
        self.job.events.send(
            "info", self.tag, details={"detail": join_values(text, values)}
        )

    def item_failed(
        self, item: object, customer: str | None, error: BaseException | str | None
    ) -> None:
        """Report that one item failed; see `TrackerStep.item_failed()`."""
        message = check_customer_text(customer, MAX_MESSAGE_LENGTH)
        if self.count.add_failed() <= MAX_ITEM_LINES:
            detail = join_values(diagnosis(error), {"item": ShortRepr(item)})
            details = {"message": message, "detail": detail}
            self.job.events.send("info", self.tag, details=details)

    def attempt_failed(
        self, count: int, customer: str | None, error: BaseException | str
    ) -> None:
        """Report that an attempt failed and that another attempt follows.

        Args:
            count: Maximum number of attempts.
            customer: Text for the customer; None for no text.
            error: Exception, reported with its traceback, or text. Only the provider
                reads it.
        """
        details = {
            "retrying": True,
            "message": customer,
            "detail": diagnosis(error),
            "max_attempts": min(count, LARGEST_ID),
        }
        self.job.events.send("error", self.tag, details=details)
        if self.is_open:
            # The block of the step is open: no other code may begin the step.
            self._set_open(is_open=True)

    def post(self, work: Callable[[], object]) -> None:
        """Queue `work` for the worker thread; see `JobWork.post()`."""
        self.job.post(work)

    def begin_block(self) -> None:
        """Report that a block of the step begins."""
        # Count the block before the report: otherwise, another block that ends during
        # the report would end the step.
        with COUNTING.lock:
            self._open_count += 1
        try:
            self.start()
        except BaseException:
            self._close(1, None)
            raise

    def begin_loop(self) -> None:
        """Count an open loop that is the whole body of the step."""
        with COUNTING.lock:
            self._open_count += 1
            self._loop_count += 1

    def end_block(self, error: BaseException | None) -> None:
        """End a block of the step; with the last open block, end the step.

        Args:
            error: Exception that left the block; None without an exception.
        """
        self._end(1, error)

    def end_loop(self, error: BaseException | None = None) -> None:
        """End a loop of `begin_loop()`, unless the end of the job has ended it.

        Args:
            error: Exception that left the loop; None without an exception.
        """
        with COUNTING.lock:
            count = min(self._loop_count, 1)
            self._loop_count -= count
        self._end(count, error)

    def end_with_job(self, error: BaseException | None) -> None:
        """End the loops of the step that are open at the end of the job.

        Args:
            error: Exception that left the block of the job; None without an exception.
        """
        with COUNTING.lock:
            count, self._loop_count = self._loop_count, 0
        self._end(count, error)
        if self.is_open and ending_of(self._left_by) == "failed":
            # A block of the step has failed, and other tasks are still in blocks of the
            # step. The job ends without waiting for these tasks.
            self._fail_by(self._left_by)
        status = self.job.events.progress.status
        if not self._is_cut_off or status in _REPORTED_ENDS:
            return
        if self.job.ending_of(error) not in CUT_OFF:
            # The step was cancelled, for example by a timeout, and the job was not.
            # Without this report, the step would stay running for ever.
            self.fail(error=STEP_CUT_OFF)

    def _close(self, count: int, error: BaseException | None) -> bool:
        """Count down the open blocks; return whether no block of the step is open."""
        # With the lock, only one thread sees the count reach 0 and ends the step.
        with COUNTING.lock:
            self._open_count = max(self._open_count - count, 0)
            self._left_by = worse_of(self._left_by, error)
            return not self._open_count

    def _end(self, count: int, error: BaseException | None) -> None:
        """End `count` blocks; with the last open block, end the step."""
        if not count or not self._close(count, error):
            return
        error, self._left_by = self._left_by, None
        if not self.is_open:  # The script has reported the end.
            return
        ending = self.job.ending_of(error)
        if ending == "succeeded":
            try:
                self.done()
            except (TypeError, ValueError) as misfit:
                self._fail_by(misfit)  # The metadata did not fit.
                raise
        elif ending == "failed":
            try:
                self._fail_by(error)
            except (TypeError, ValueError):
                # The first call dropped the metadata that did not fit.
                self.fail(error=error)
                raise
        else:
            # The end of the job also reports the end of a step that was cut off.
            self._set_open(is_open=False)
            self._is_cut_off = True

    def _set_open(self, *, is_open: bool) -> None:
        """Set `is_open`, for this handle and for all handles of the job."""
        self.is_open, self._is_cut_off = is_open, False
        open_steps = self.job.events.state.open_steps
        if is_open:
            open_steps.add(self.tag)
        else:
            open_steps.discard(self.tag)

    def _fail_by(self, error: BaseException | None) -> None:
        self.job.remember_failure(error, self.tag)
        self.fail(error=error)

    def _report_end(
        self, kind: str, message: str | None, detail: str | None = None
    ) -> None:
        self._set_open(is_open=False)
        metadata, self.metadata = self.metadata, {}
        has_text = message is not None or detail is not None
        details = {"message": message, "detail": detail} if has_text else NO_DETAILS
        self.count.offer_failed()
        self.job.events.send(kind, self.tag, metadata or None, details=details)
        # End the count after the event: `send()` first writes pending progress, which
        # reads the count.
        self.count.end()
