"""The handle of one step: its block, its counted units and its texts."""

from collections.abc import AsyncIterable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack

from trackerapi.arguments import (
    LONGEST_MESSAGE,
    check_customer_text,
    check_number,
    check_text,
)
from trackerapi.jobs.attempts import Attempts
from trackerapi.jobs.counting import UnitCount
from trackerapi.jobs.current import entered, left
from trackerapi.jobs.endings import STEP_FAILED, Shown, diagnosis, listed
from trackerapi.jobs.loops import Loop
from trackerapi.jobs.options import MAX_UNITS, LoopOptions
from trackerapi.jobs.step_end import StepEnd
from trackerapi.process.block import Block

if TYPE_CHECKING:
    from trackerapi.jobs.job import TrackerJob

Item = TypeVar("Item")

MOST_ITEM_LINES: Final = 100
"""Failed items of a step with a line of their own; further ones are only counted."""


class TrackerStep(Block):
    """Report one step of a job, best as a block.

    Made by `TrackerJob.step()`, which returns the same handle for the same step; safe
    to share between threads. The block starts the step and ends it: done, or failed
    with an exception, which goes on untouched. Where several blocks of one step are
    open at once, in threads, tasks or each other, the last one that is left ends it.

    Args:
        job: Handle of the job.
        tag: Tag of the step.

    Attributes:
        metadata: Values that go with the end of the step.
        on_failure: What the customer reads if the step fails; None for a neutral
            sentence.
        is_open: Whether this process has started the step and not ended it.

    Example:
        with job.step("segment") as step:
            step.note("Looking for the liver")
            for scan in step.track(scans):
                segment(scan)
    """

    def __init__(self, job: "TrackerJob", tag: str) -> None:
        self._job, self._tag = job, tag
        self.metadata: dict[str, Any] = {}
        self.on_failure: str | None = None
        self._count = UnitCount(job, tag)
        self._end = StepEnd(self)
        self.is_open = False

    def __repr__(self) -> str:
        return f"TrackerStep(tag={self._tag!r}, job={self._job.provider_job_id!r})"

    @property
    def tag(self) -> str:
        """Tag of the step."""
        return self._tag

    @property
    def job(self) -> "TrackerJob":
        """Handle of the job."""
        return self._job

    @property
    def completed(self) -> float:
        """Units that this process has done, 0 or more."""
        return self._count.completed

    @property
    def resumed(self) -> float:
        """Completed units that were done before this process, as `resume` gave them."""
        return self._count.resumed

    @property
    def total(self) -> float | None:
        """Units in all, 0 to 2**53 - 1; None while unknown. Can be set."""
        return self._count.total

    @total.setter
    def total(self, units: float | None) -> None:
        self._count.set_total(units)

    @property
    def fraction(self) -> float:
        """Share of the step that is done, 0.0 to 1.0. Can be set instead of counting.

        The customer never sees it fall.
        """
        return self._job.progress.step(self._tag).fraction

    @fraction.setter
    def fraction(self, share: float) -> None:
        self._count.set_fraction(share)

    @property
    def status(self) -> str:
        """pending, running, done, failed, skipped, cancelled or not_run.

        As far as this machine knows: what was reported here, and what the backend
        knew when the job was created.
        """
        return self._job.recall().shown_status(self._tag)

    @property
    def is_ready(self) -> bool:
        """Whether the step may begin: the steps before it are done, and it is not.

        Also after a restart, from what earlier processes have reported; a step that
        one of them has left unfinished may begin again.

        Before it are the steps that its configuration names in `after`, else the one
        that stands before it. True without a configuration.
        """
        return self._job.is_ready(self._tag)

    def start(self) -> None:
        """Report that the step begins; a block does so by itself."""
        # Whoever begins a step has handled what failed before.
        self._job.note_failure(None, self._tag)
        if not self.is_open:
            self._count.renew()
        self.is_open = True
        self._end.said()
        self._job.send_event(kind="start", name=self._tag)

    def done(self, message: str | None = None) -> None:
        """Report that the step is done; a block does so by itself.

        Args:
            message: What the customer reads.
        """
        self._report_end("step", message=message or self._count.remark)

    def fail(
        self, customer: str | None = None, error: BaseException | str | None = None
    ) -> None:
        """Report that the step has failed; a block does so by itself.

        Args:
            customer: What the customer reads; None for a neutral sentence.
            error: What only the provider reads: an exception, with its traceback, or
                a text.
        """
        said = check_customer_text(customer, LONGEST_MESSAGE)
        message = said or self.on_failure or STEP_FAILED
        self._report_end("error", message=message, detail=diagnosis(error))

    def skip(self, reason: str | None = None) -> None:
        """Report that the step is not needed.

        Args:
            reason: What the customer reads.
        """
        self._report_end("skip", message=reason)

    def advance(self, units: float = 1) -> None:
        """Count units that are done.

        The backend adds up the counts of threads, forked processes and attached
        hosts. A count is written at most once a second, and the last one always.

        Args:
            units: 0 to 2**53 - 1.
        """
        checked = check_number("units", units, MAX_UNITS)
        if checked is None:
            raise TypeError("units must be a number, got NoneType")
        self._count.add(checked)

    def note(self, text: str) -> None:
        """Add a line to the timeline that the customer reads."""
        self._job.send_event(
            kind="info",
            name=self._tag,
            message=check_text("text", text, LONGEST_MESSAGE),
        )

    def detail(self, text: str | None = None, /, **values: object) -> None:
        """Add a line to the timeline that only the provider reads.

        Args:
            text: What to say; None for values alone.
            **values: Values to show below it, such as `host=` or `model=`.
        """
        self._job.send_event(kind="info", name=self._tag, detail=listed(text, values))

    def item_failed(
        self,
        item: object,
        *,
        customer: str | None = None,
        error: BaseException | str | None = None,
    ) -> None:
        """Report that one item of the step failed, and that the step goes on.

        The end of the step tells the customer the number of failed items. The first
        100 of them get a line of their own.

        Args:
            item: The item; only the provider reads its `repr()`.
            customer: What the customer reads; None for the count alone.
            error: What only the provider reads: an exception, with its traceback, or
                a text.
        """
        message = check_customer_text(customer, LONGEST_MESSAGE)
        if self._count.add_failed() <= MOST_ITEM_LINES:
            self._job.send_event(
                kind="info",
                name=self._tag,
                message=message,
                detail=listed(diagnosis(error), {"item": Shown(item)}),
            )

    def track(
        self,
        items: "Iterable[Item] | AsyncIterable[Item]",
        **options: Unpack[LoopOptions],
    ) -> Loop[Item]:
        """Iterate over items, and count each when the next one is asked for.

        Args:
            items: What to iterate over, also an async iterable.
            **options: See `LoopOptions`.
        """
        return Loop(self, items, options)

    def attempts(
        self,
        count: int,
        *,
        on: type[Exception] | tuple[type[Exception], ...] = Exception,
        wait_seconds: float = 1.0,
    ) -> Attempts:
        """Iterate over attempts, each a block, until one succeeds.

        A failed attempt is reported as one that another follows; the last one's
        exception goes on. Works with `for` and `async for`.

        Args:
            count: Attempts to make at most, 1 or more.
            on: Exceptions after which another attempt is made.
            wait_seconds: Wait before the second attempt, doubled for each further
                one up to a minute.

        Raises:
            ValueError: If `count` is below 1 or the wait below 0.

        Example:
            for attempt in step.attempts(3, on=(IOError,)):
                with attempt:
                    upload()
        """
        return Attempts(self, count, on, wait_seconds)

    def start_loop(self, *, is_whole_step: bool) -> UnitCount:
        """Begin a loop, and return what counts its items.

        Args:
            is_whole_step: Whether its body belongs to the step, which ends with it.
        """
        if is_whole_step:
            self._end.begin_loop()
            self.enter_block()
        return self._count

    def begin_block(self) -> None:
        """Report that the block begins."""
        self._end.begin_block(self.start)

    def enter_block(self) -> None:
        """Make the step the current step of the running code."""
        entered(self._job, self)

    def leave_block(self) -> bool:
        """Restore the previous current step; return whether to report the end."""
        return left(self._job, self)

    def end_block(self, error: BaseException | None) -> None:
        """Report that the block has ended, with the exception that left it or None."""
        self._job.quietly(error, lambda: self._end.end_block(error))

    def post(self, work: Callable[[], object]) -> None:
        """Leave `work` to the thread of the tracker, which keeps the order of calls."""
        self._job.post(work)

    def end_loop(self, error: BaseException | None = None) -> None:
        """End a loop of `start_loop()`, with the exception that left it or None."""
        if self.leave_block():
            self._end.end_loop(error)

    def end_with_job(self, error: BaseException | None) -> None:
        """End the open blocks of the step; `error` left the block of the job."""
        self.leave_block()
        self._end.end_with_job(error)

    def attempt_failed(
        self, number: int, count: int, error: BaseException | str
    ) -> None:
        """Report that an attempt failed and that another one follows."""
        self._job.send_event(
            kind="error",
            name=self._tag,
            retrying=True,
            message=f"Attempt {number} of {count} did not work; trying again.",
            detail=diagnosis(error),
        )

    def _report_end(
        self, kind: str, *, message: str | None, detail: str | None = None
    ) -> None:
        self.is_open = False
        self._end.said()
        metadata, self.metadata = self.metadata, {}
        self._job.send_event(
            kind=kind,
            name=self._tag,
            metadata=metadata or None,
            message=message,
            detail=detail,
        )
        # Afterwards: the event brings along what was counted last.
        self._count.end()
