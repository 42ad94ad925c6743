"""tqdm bar that also reports progress.

A script changes only the import of tqdm, and passes `step=`.

tqdm draws the bar as usual. A disabled bar still reports: the bar is for the terminal,
the report for the customer.
"""

import math
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar, overload

from trackerapi.events.event import MAX_UNITS
from trackerapi.jobs.blocks import StepLoop
from trackerapi.jobs.counting import COUNTING
from trackerapi.jobs.current import current_blocks
from trackerapi.jobs.job import TrackerJob
from trackerapi.jobs.loops import INTERVAL_SECONDS
from trackerapi.jobs.step import step_block
from trackerapi.process.clock import steady_seconds

try:
    from tqdm import tqdm as upstream
except ImportError as error:
    raise ImportError(
        'trackerapi.integrations.tqdm needs tqdm; in a checkout: pip install ".[tqdm]"'
    ) from error

if TYPE_CHECKING:
    from trackerapi.jobs.step import TrackerStep

__all__ = ["tqdm", "trange"]

Item = TypeVar("Item")

# Methods of tqdm itself: a direct call is faster than `super()`.
_UPDATE: Final[Callable[..., bool | None]] = vars(upstream)["update"]
_CLOSE: Final[Callable[..., None]] = vars(upstream)["close"]

if TYPE_CHECKING:
    _Bar = upstream
else:

    class _Bar(upstream, Generic[Item]):
        """tqdm's bar; generic, as in the stubs for type checkers."""


class tqdm(_Bar[Item]):  # noqa: N801 - name of tqdm
    """Show a bar, and report its count as progress of a step.

    The bar starts its step. The end of the loop, or `close()`, ends the step. Within a
    block (`with` statement) of the step, the bar only counts. A loop that ends early
    reports no end: the block of the job reports the end.

    Args:
        iterable: Items to iterate over. This argument, `desc`, `total` and all others
            mean the same as in tqdm.
        job: Handle of the job; None for the current job.
        step: Tag or display name of the step; None uses `desc`, if the configuration of
            the job has a step of this name. A bar without a step reports nothing.

    Example:
        with tracker.run_job("import-42", customer_id=142, tag="import") as job:
            for file in tqdm(files, desc="Upload", step="upload"):
                upload(file)
    """

    _reporter: "_StepReporter | None" = None
    # The same object as `_reporter`, but None while `_count_items()` runs: it reports
    # the items itself, so `update()` and `close()` must not report them again.
    _active_reporter: "_StepReporter | None" = None

    if TYPE_CHECKING:

        @overload
        def __init__(
            self,
            iterable: Iterable[Item],
            desc: str | None = None,
            total: float | None = None,
            *args: Any,
            job: TrackerJob | None = None,
            step: str | None = None,
            **options: Any,
        ) -> None: ...

        @overload
        def __init__(
            self: "tqdm[NoReturn]",
            iterable: None = None,
            desc: str | None = None,
            total: float | None = None,
            *args: Any,
            job: TrackerJob | None = None,
            step: str | None = None,
            **options: Any,
        ) -> None: ...

    def __init__(
        self,
        iterable: Any = None,
        desc: str | None = None,
        total: float | None = None,
        *args: Any,
        job: "TrackerJob | None" = None,
        step: str | None = None,
        **options: Any,
    ) -> None:
        found = _step_of(job, step, desc)
        super().__init__(iterable, desc, total, *args, **options)  # pyright: ignore[reportUnknownMemberType]
        if found is not None:
            self._reporter = self._active_reporter = _StepReporter(
                found, self.total, self.n
            )

    def __iter__(self) -> Iterator[Item]:
        """Iterate; count each item when the loop requests the next item."""
        if self._reporter is None:
            return super().__iter__()
        return self._count_items(self.iterable, self._reporter)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_value is not None:
            self._end(exc_value)
        super().__exit__(exc_type, exc_value, traceback)

    def __del__(self) -> None:
        # A bar that was never closed does not end its step: the work may be unfinished.
        reporter, self._reporter = self._reporter, None
        if reporter is not None:
            reporter.report(self._count_of(reporter), self.total)
        if "disable" in vars(self):  # Missing if `__init__()` has raised.
            super().__del__()

    def update(self, n: float | None = 1) -> bool | None:
        """Count `n` more units."""
        reporter = self._active_reporter
        if reporter is None:
            return _UPDATE(self, n)
        is_shown = None
        if self.disable:
            reporter.reached += n or 0
        else:
            is_shown = _UPDATE(self, n)
        if steady_seconds() >= reporter.due:
            reporter.report(self._count_of(reporter), self.total)
        return is_shown

    def refresh(self, *args: Any, **options: Any) -> Any:
        """Draw the bar, and report a count that the script has set in `n`."""
        reporter = self._active_reporter
        if reporter is not None and steady_seconds() >= reporter.due:
            reporter.report(self._count_of(reporter), self.total)
        return super().refresh(*args, **options)

    def reset(self, total: float | None = None) -> None:
        """Restart the count from 0."""
        super().reset(total)
        if self._reporter is not None:
            self._reporter.restart(self.total)

    def close(self) -> None:
        """Close the bar and end its step.

        During an exception, an incomplete bar does not end its step.
        """
        reporter = self._active_reporter
        reached = self._count_of(reporter) if reporter is not None else 0.0
        super().close()
        if reporter is None:
            return
        reporter.report(reached, self.total)
        is_short = self.total is not None and reached < self.total
        if not (is_short and sys.exception() is not None):
            self._end()
        # Otherwise a `finally` clause has closed an incomplete bar during an exception:
        # the block of the job reports the end of the step.

    def _count_of(self, reporter: "_StepReporter") -> Any:
        """Return the count; for a disabled bar, tqdm itself does not count."""
        return reporter.reached if self.disable else self.n

    def _count_items(
        self, items: Iterable[Item], reporter: "_StepReporter"
    ) -> Generator[Item]:
        """Yield the items and count them.

        The loop runs few instructions for each item: a job may have millions of items.
        Works like the loop of tqdm, with only public members of tqdm.
        """
        n = self._count_of(reporter)
        pause = math.inf if self.disable else self.mininterval
        clock = steady_seconds
        show_due = clock() + pause
        due = min(show_due, reporter.due)
        self._active_reporter = None
        try:
            for item in items:
                yield item
                n += 1
                at = clock()
                if at >= due:
                    if at >= show_due:
                        # `is_shown` is false if tqdm did not draw: try again after a
                        # quarter of the pause.
                        is_shown = _UPDATE(self, n - self.n)
                        show_due = at + (pause if is_shown else pause / 4)
                    if at >= reporter.due:
                        reporter.report(n, self.total)
                    due = min(show_due, reporter.due)
        finally:
            reporter.report(n, self.total)
            if not self.disable:
                self.n = n
            _CLOSE(self)
            self._active_reporter = reporter
        self._end()

    def _end(self, error: BaseException | None = None) -> None:
        reporter, self._reporter, self._active_reporter = self._reporter, None, None
        if reporter is not None:
            reporter.report(self._count_of(reporter), self.total)
            reporter.end(error)


def trange(*args: int, **options: Any) -> tqdm[int]:
    """Return `tqdm(range(*args), **options)`, like `tqdm.trange()`."""
    return tqdm(range(*args), **options)


class _StepReporter:
    """Reports the count of a bar to its step; safe to share between threads.

    Args:
        step: Handle of the step.
        total: Total number of units; None if unknown.
        initial: Units that were done before the bar began.

    Attributes:
        reached: Latest known count of the bar. For a disabled bar, this is the only
            count.
        due: Time of the next report, in monotonic seconds.
    """

    def __init__(self, step: "TrackerStep", total: Any, initial: Any) -> None:
        self._loop = StepLoop(step_block(step), is_whole_step=not step.is_open)
        self._loop.start()
        self._count = self._loop.enter()
        self._total: float | None = None
        self.due = 0.0
        self.reached = self._counted_units = _number(initial) or 0.0
        self._report_total(total)
        if self.reached:
            self._count.add(self.reached, is_resumed=True)

    def report(self, reached: Any, total: Any) -> None:
        """Report the count of the bar; ignore a lower count than before."""
        self.reached = reached
        self.due = steady_seconds() + INTERVAL_SECONDS
        if total != self._total:
            self._report_total(total)
        # The lock of all counts: two threads that compare and set `_counted_units`
        # would count units twice.
        with COUNTING.lock:
            units = (_number(reached) or 0.0) - self._counted_units
            if units > 0:
                self._counted_units += units
                self._count.add(units)

    def restart(self, total: Any) -> None:
        """Restart the count from 0 units."""
        with COUNTING.lock:
            self.reached = self._counted_units = 0.0
            if self._loop.is_whole_step:
                self._count.begin()
            self._total = None
        self._report_total(total)

    def end(self, error: BaseException | None) -> None:
        """End the step, unless the bar is within a block of the step."""
        if self._loop.is_whole_step:
            job = self._loop.block.work.job
            job.report_quietly(error, lambda: self._loop.end(error))

    def _report_total(self, total: Any) -> None:
        units = _number(total)
        if units is not None and self._loop.is_whole_step:
            self._count.set_total(units)
        elif units is not None:
            # Within a block, several loops may count units of the step: add up their
            # totals.
            self._count.expect(max(units - (self._total or 0.0), 0.0))
        self._total = total


def _number(units: Any) -> float | None:
    """Return `units` as a number; None if it cannot be a count of units.

    tqdm also accepts objects that are not numbers and support only `+`.
    """
    try:
        number = float(units)
    except (TypeError, ValueError, OverflowError):
        return None
    if not 0 <= number <= MAX_UNITS or math.isnan(number):
        return None
    return int(number) if number.is_integer() else number


def _check_job(job: object) -> None:
    if not isinstance(job, TrackerJob):
        raise TypeError(
            f"job must be a TrackerJob, got {type(job).__name__}; without job, the bar"
            " reports to the job of the block around it"
        )


def _step_of(
    job: "TrackerJob | None", step: str | None, desc: str | None
) -> "TrackerStep | None":
    """Return the step of a bar; None if the bar has no job or no step."""
    if job is None:
        blocks = current_blocks()
        if not blocks:
            return None
        job = blocks[-1].job
    else:
        _check_job(job)
    if step is not None:
        return job.step(step)
    named = (desc or "").strip().removesuffix(":").rstrip()
    known = job.config.find_step(named) if job.config and named else None
    return job.step(known.tag) if known else None
