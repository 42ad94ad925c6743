"""Public handle of one step."""

from collections.abc import AsyncIterable, Callable, Container, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from trackerapi.arguments import (
    MAX_MESSAGE_LENGTH,
    check_dict,
    check_number,
    check_text,
)
from trackerapi.events.event import MAX_UNITS
from trackerapi.jobs.attempts import Attempts
from trackerapi.jobs.blocks import StepBlock, StepLoop
from trackerapi.jobs.loops import Loop

if TYPE_CHECKING:
    from trackerapi.jobs.job import TrackerJob
    from trackerapi.jobs.step_work import StepWork

Item = TypeVar("Item")


class TrackerStep:
    """Report one step of a job, best as a block.

    Made by `TrackerJob.step()`, which returns the same handle for the same step. The
    block reports the begin and the end of the step: done, or failed by an exception,
    which propagates unchanged. Several blocks of a step may be open at the same time,
    in threads, in tasks or nested: the last open block ends the step.

    Each report returns once its event is in the outbox, and never waits for a network.
    Safe to share between threads; a forked child may use the handle too.

    Example:
        with job.step("segment") as step:
            step.note("Looking for the liver")
            for scan in step.track(scans):
                segment(scan)
    """

    def __init__(self, job: "TrackerJob", work: "StepWork") -> None:
        self._job, self._work = job, work

    def __repr__(self) -> str:
        return f"TrackerStep(tag={self.tag!r}, job={self._job.provider_job_id!r})"

    def __enter__(self) -> Self:
        StepBlock(self, self._work).__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        StepBlock(self, self._work).__exit__(kind, error, traceback)

    @property
    def tag(self) -> str:
        """Tag of the step."""
        return self._work.tag

    @property
    def job(self) -> "TrackerJob":
        """Handle of the job."""
        return self._job

    @property
    def metadata(self) -> dict[str, Any]:
        """Metadata for the event that ends the step. Can be set."""
        return self._work.metadata

    @metadata.setter
    def metadata(self, values: dict[str, Any]) -> None:
        self._work.metadata = check_dict("metadata", values)

    @property
    def on_failure(self) -> str | None:
        """Text for the customer if the step fails. Can be set.

        None for a neutral sentence.
        """
        return self._work.on_failure

    @on_failure.setter
    def on_failure(self, text: str | None) -> None:
        self._work.on_failure = check_text("on_failure", text, MAX_MESSAGE_LENGTH)

    @property
    def is_open(self) -> bool:
        """Whether this process has started the step and not ended it.

        All handles of the job in this process have the same value.
        """
        return self.tag in self._work.job.events.state.open_steps

    @property
    def completed(self) -> float:
        """Units that this process has done, 0 or more."""
        return self._work.count.completed

    @property
    def resumed(self) -> float:
        """Units in `completed` that `resume` names as done by an earlier run."""
        return self._work.count.resumed

    @property
    def total(self) -> float | None:
        """Total number of units, 0 to 2**53 - 1; None while unknown. Can be set."""
        return self._work.count.total

    @total.setter
    def total(self, units: float | None) -> None:
        self._work.count.set_total(units)

    @property
    def fraction(self) -> float:
        """Share of the step that is done, 0.0 to 1.0. Can be set instead of counting.

        A lower value than before is not shown to the customer.
        """
        return self._work.job.events.progress.step(self.tag).fraction

    @fraction.setter
    def fraction(self, share: float) -> None:
        self._work.count.set_fraction(share)

    @property
    def status(self) -> str:
        """Status: pending, running, done, failed, skipped, cancelled or not_run.

        Computed from the reports of this machine and from the backend's answer to the
        creation of the job; reports of other machines after the answer are missing.
        All handles of a job in one process know the same reports. The first access
        of each handle reads the outbox.
        """
        return self._work.job.events.recall().shown_status(self.tag)

    @property
    def is_ready(self) -> bool:
        """Whether the step may begin: all previous steps are done or skipped.

        False for a step that is done or skipped, or that this process has started by
        any handle of the job. False after the job has ended, except if only a step has
        failed: the failed step may begin again. The previous steps are the steps in
        `after` of the configuration. Without `after`, the previous step is the step
        above in the configuration. Without a configuration, a step has no previous
        steps; `job()` and `attach()` know the configuration by `tag=`, by the token, or
        if this process has created the job.

        The reports of earlier processes count too. A step that an earlier process left
        unfinished may begin again. The first access of each handle reads the outbox.
        """
        return self._work.job.events.is_ready(self.tag)

    def start(self) -> None:
        """Report that the step begins; a block does this itself."""
        self._work.start()

    def done(self, message: str | None = None) -> None:
        """Report that the step is done; a block does this itself.

        Args:
            message: Text for the customer; cut after 2,000 characters.
        """
        self._work.done(message)

    def fail(
        self, customer: str | None = None, error: BaseException | str | None = None
    ) -> None:
        """Report that the step has failed; a block does this itself.

        Args:
            customer: Text for the customer; None for a neutral sentence.
            error: Exception, reported with its traceback, or text. Only the provider
                reads it.
        """
        self._work.fail(customer, error)

    def skip(self, reason: str | None = None) -> None:
        """Report that the step is not needed.

        Args:
            reason: Text for the customer.
        """
        self._work.skip(reason)

    def advance(self, units: float = 1) -> None:
        """Count units that are done.

        The counts of all threads, forked processes and attached hosts add up. The count
        is written at most once a second, and always at the end of the step.

        Args:
            units: Number of units, 0 to 2**53 - 1.

        Raises:
            TypeError: If `units` is not a number.
            ValueError: If `units` is out of range.

        Example:
            with job.step("convert", total=len(images)) as step:
                for batch in batches:
                    convert(batch)
                    step.advance(len(batch))
        """
        checked = check_number("units", units, MAX_UNITS)
        if checked is None:
            raise TypeError("units must be a number, got NoneType")
        self._work.count.add(checked)

    def note(self, text: str) -> None:
        """Add a line to the timeline that the customer reads.

        Args:
            text: The line; cut after 2,000 characters.
        """
        self._work.note(text)

    def detail(self, text: str | None = None, /, **values: object) -> None:
        """Add a line to the timeline that only the provider reads.

        Args:
            text: Text of the line; None if the line has only values. Cut after
                16,000 characters.
            **values: Values to show below the line, such as `host=` or `model=`.
        """
        self._work.detail(text, values)

    def item_failed(
        self,
        item: object,
        *,
        customer: str | None = None,
        error: BaseException | str | None = None,
    ) -> None:
        """Report that one item of the step failed, and that the step continues.

        The end of the step reports the number of failed items to the customer. Each of
        the first 100 failed items is also a line in the timeline.

        Args:
            item: The item; only the provider reads its `repr()`.
            customer: Text for the customer; None shows the customer only the number at
                the end of the step.
            error: Exception, reported with its traceback, or text. Only the provider
                reads it.
        """
        self._work.item_failed(item, customer, error)

    def track(
        self,
        items: "Iterable[Item] | AsyncIterable[Item]",
        *,
        total: float | None = None,
        weight: Callable[[Any], float] | None = None,
        key: Callable[[Any], object] | None = None,
        resume: Container[object] = (),
    ) -> Loop[Item]:
        """Iterate over items; count each item when the next item is requested.

        Args:
            items: Iterable or async iterable of the items.
            total: Total number of units, 0 to 2**53 - 1. None uses `len(items)`, or the
                sum of the weights of a collection. The total of an iterator is unknown.
            weight: Function that returns the units of an item, such as its size in
                bytes; None counts each item as 1.
            key: Function that returns the key of an item in `resume`; None uses the
                item itself.
            resume: Keys of items that an earlier run has done. The loop counts these
                items as done and does not yield them.

        Raises:
            TypeError: If `items` cannot be iterated over, or another argument is of
                the wrong type.

        Example:
            with job.step("upload") as step:
                for file in step.track(files, weight=lambda file: file.stat().st_size):
                    upload(file)
        """
        loop = StepLoop(StepBlock(self, self._work), is_whole_step=False)
        return Loop(loop, items, total=total, weight=weight, key=key, resume=resume)

    def attempts(
        self,
        count: int,
        *,
        on: type[Exception] | tuple[type[Exception], ...] = Exception,
        wait_seconds: float = 1.0,
        customer: str | None = None,
    ) -> Attempts:
        """Iterate over attempts, each a block, until an attempt succeeds.

        Each failed attempt is reported. The exception of the last attempt propagates
        unchanged. Between two attempts, `for` blocks the thread, and `async for` does
        not block the event loop.

        Args:
            count: Maximum number of attempts, 1 or more.
            on: Type or types of the exceptions after which another attempt follows.
            wait_seconds: Delay before the second attempt, in seconds, 0 or more. The
                delay doubles with each further attempt, up to 60 seconds.
            customer: Text for the customer about each failed attempt but the last; None
                for no text.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If `count` is below 1, or `wait_seconds` below 0.

        Example:
            for attempt in step.attempts(3, on=(IOError,)):
                with attempt:
                    upload()
        """
        return Attempts(self._work, count, on, wait_seconds, customer)


def step_block(step: TrackerStep) -> StepBlock:
    """Return the block of a step, for other modules of this library."""
    return StepBlock(step, step._work)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
