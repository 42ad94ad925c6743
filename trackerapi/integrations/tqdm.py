"""A tqdm bar that is tracked progress too: change the import, and name the step.

The bar is upstream's, and so is all that it does in the terminal. Switched off, it
still reports: the bar is for whoever runs the script, the report for the customer.
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
    from trackerapi.jobs.job import TrackerJob
    from trackerapi.jobs.step import TrackerStep

__all__ = ["tqdm", "trange"]

Item = TypeVar("Item")

# Upstream's own calls, in fewer steps than by `super()`.
_UPDATE: Final[Callable[..., bool | None]] = vars(upstream)["update"]
_CLOSE: Final[Callable[..., None]] = vars(upstream)["close"]

if TYPE_CHECKING:
    _Bar = upstream
else:

    class _Bar(upstream, Generic[Item]):
        """Upstream's bar, which type checkers know to be generic."""


class tqdm(_Bar[Item]):  # noqa: N801 - upstream's name
    """Show a bar, and report what it counts as progress of a step.

    The bar starts its step, and the step is done when the loop or the bar has ended;
    within a block of the step it only counts. A loop that is left early says nothing:
    its job knows how it ended.

    Args:
        iterable: As upstream; so are `desc`, `total` and all other arguments.
        job: Handle of the job; None takes the one whose block runs this code.
        step: Tag or display name of the step; None takes `desc` where the job's
            configuration has such a step. Nothing is reported without one.

    Example:
        with tracker.run_job("import-42", customer_id=142, tag="import") as job:
            for file in tqdm(files, desc="Upload", step="upload"):
                upload(file)
    """

    _tracked: "_Tracked | None" = None
    _counted: "_Tracked | None" = None  # the same, unless a loop counts

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
            self._tracked = self._counted = _Tracked(found, self.total, self.n)

    def __iter__(self) -> Iterator[Item]:
        """Iterate, and count each item when the next one is asked for."""
        if self._tracked is None:
            return super().__iter__()
        return self._followed(self.iterable, self._tracked)

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
        # Forgotten, not closed: nobody says that the work is done.
        tracked, self._tracked = self._tracked, None
        if tracked is not None:
            tracked.tell(self._place(tracked), self.total)
        if "disable" in vars(self):  # not where `__init__` has raised
            super().__del__()

    def update(self, n: float | None = 1) -> bool | None:
        """Count `n` units more."""
        tracked = self._counted
        if tracked is None:
            return _UPDATE(self, n)
        is_shown = None
        if self.disable:
            tracked.reached += n or 0
        else:
            is_shown = _UPDATE(self, n)
        if steady_seconds() >= tracked.due:
            tracked.tell(self._place(tracked), self.total)
        return is_shown

    def refresh(self, *args: Any, **options: Any) -> Any:
        """Show, and report, what was set by hand."""
        tracked = self._counted
        if tracked is not None and steady_seconds() >= tracked.due:
            tracked.tell(self._place(tracked), self.total)
        return super().refresh(*args, **options)

    def reset(self, total: float | None = None) -> None:
        """Begin to count anew."""
        super().reset(total)
        if self._tracked is not None:
            self._tracked.begin_again(self.total)

    def close(self) -> None:
        """Close the bar; its step is done, unless an exception is on its way."""
        tracked = self._counted
        place = self._place(tracked) if tracked is not None else 0.0
        super().close()
        if tracked is None:
            return
        tracked.tell(place, self.total)
        is_short = self.total is not None and place < self.total
        if not (is_short and sys.exception() is not None):
            self._end()
        # Else it was called in a `finally`: the job says how the step ended.

    def _place(self, tracked: "_Tracked") -> Any:
        """Return where the bar stands; one that is off does not say it itself."""
        return tracked.reached if self.disable else self.n

    def _followed(self, items: Iterable[Item], tracked: "_Tracked") -> Generator[Item]:
        """Count items, in few steps: a job may have millions of them.

        As upstream does, by what it offers to everybody.
        """
        n = self._place(tracked)
        pause = math.inf if self.disable else self.mininterval
        clock = steady_seconds
        show_due = clock() + pause
        due = min(show_due, tracked.due)
        self._counted = None
        try:
            for item in items:
                yield item
                n += 1
                at = clock()
                if at >= due:
                    if at >= show_due:
                        # Not shown is nearly due: try again soon.
                        is_shown = _UPDATE(self, n - self.n)
                        show_due = at + (pause if is_shown else pause / 4)
                    if at >= tracked.due:
                        tracked.tell(n, self.total)
                    due = min(show_due, tracked.due)
        finally:
            tracked.tell(n, self.total)
            if not self.disable:
                self.n = n
            _CLOSE(self)
            self._counted = tracked
        self._end()

    def _end(self, error: BaseException | None = None) -> None:
        tracked, self._tracked, self._counted = self._tracked, None, None
        if tracked is not None:
            tracked.tell(self._place(tracked), self.total)
            tracked.end(error)


def trange(*args: int, **options: Any) -> tqdm[int]:
    """Show and report `tqdm(range(*args), **options)`."""
    return tqdm(range(*args), **options)


class _Tracked:
    """What a bar reports of its step; safe to share between threads.

    Args:
        step: Handle of the step.
        total: Units in all; None while nobody knows.
        initial: Units that were done before.

    Attributes:
        reached: Where the bar was last seen; where it stands if it is off.
        due: When to report it again, in monotonic seconds.
    """

    def __init__(self, step: "TrackerStep", total: Any, initial: Any) -> None:
        self._loop = StepLoop(step_block(step), is_whole_step=not step.is_open)
        self._loop.start()
        self._count = self._loop.enter()
        self._total: float | None = None
        self.due = 0.0
        self.reached = self._told = _number(initial) or 0.0
        self._tell_total(total)
        if self.reached:
            self._count.add(self.reached, is_resumed=True)

    def tell(self, reached: Any, total: Any) -> None:
        """Report where the bar stands; one that goes back counts for nothing."""
        self.reached = reached
        self.due = steady_seconds() + INTERVAL_SECONDS
        if total != self._total:
            self._tell_total(total)
        with COUNTING.lock:
            units = (_number(reached) or 0.0) - self._told
            if units > 0:
                self._told += units
                self._count.add(units)

    def begin_again(self, total: Any) -> None:
        """Count from nothing, as the bar does."""
        with COUNTING.lock:
            self.reached = self._told = 0.0
            if self._loop.is_whole_step:
                self._count.begin()
            self._total = None
        self._tell_total(total)

    def end(self, error: BaseException | None) -> None:
        """End the step, unless a block of it does."""
        if self._loop.is_whole_step:
            job = self._loop.block.work.job
            job.report_quietly(error, lambda: self._loop.end(error))

    def _tell_total(self, total: Any) -> None:
        units = _number(total)
        if units is not None and self._loop.is_whole_step:
            self._count.set_total(units)
        elif units is not None:
            # Beside what others count of the step.
            self._count.expect(max(units - (self._total or 0.0), 0.0))
        self._total = total


def _number(units: Any) -> float | None:
    """Return units that can be reported; upstream takes anything that can be added."""
    try:
        number = float(units)
    except (TypeError, ValueError, OverflowError):
        return None
    if not 0 <= number <= MAX_UNITS or math.isnan(number):
        return None
    return int(number) if number.is_integer() else number


def _step_of(
    job: "TrackerJob | None", step: str | None, desc: str | None
) -> "TrackerStep | None":
    """Return the step that a bar means; None if there is none."""
    if job is None:
        blocks = current_blocks()
        if not blocks:
            return None
        job = blocks[-1].job
    if step is not None:
        return job.step(step)
    named = (desc or "").strip().removesuffix(":").rstrip()
    known = job.config.find_step(named) if job.config and named else None
    return job.step(known.tag) if known else None
