"""Public handle of one step for an event loop."""

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Container,
    Iterable,
)
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from trackerapi.jobs.attempts import Attempts
from trackerapi.jobs.step import TrackerStep, step_block
from trackerapi.process.event_loops import begin, end, run_posted

if TYPE_CHECKING:
    from trackerapi.aio.job import AsyncTrackerJob

Item = TypeVar("Item")


class AsyncTrackerStep:
    """Report one step of a job from an event loop, best as a block.

    Made by `AsyncTrackerJob.step()`, which returns the same handle for the same step.
    The members are those of `TrackerStep`, which documents their parameters; within the
    block `current_step()` returns the `TrackerStep`. No call blocks the event loop,
    except the first `status` or `is_ready` without `AsyncTrackerJob.recall()`.

    Example:
        async with job.step("segment") as step:
            await step.note("Looking for the liver")
            async for scan in step.track(scans):
                await segment(scan)
    """

    def __init__(self, job: "AsyncTrackerJob", step: TrackerStep) -> None:
        self._job, self._step, self._block = job, step, step_block(step)

    def __repr__(self) -> str:
        return f"Async{self._step!r}"

    async def __aenter__(self) -> Self:
        await begin(self._block)
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await end(self._block, error)

    @property
    def tag(self) -> str:
        """Tag of the step."""
        return self._step.tag

    @property
    def job(self) -> "AsyncTrackerJob":
        """Handle of the job."""
        return self._job

    @property
    def metadata(self) -> dict[str, Any]:
        """Metadata for the event that ends the step. Can be set."""
        return self._step.metadata

    @metadata.setter
    def metadata(self, values: dict[str, Any]) -> None:
        self._step.metadata = values

    @property
    def on_failure(self) -> str | None:
        """Text for the customer if the step fails. Can be set.

        None for a neutral sentence.
        """
        return self._step.on_failure

    @on_failure.setter
    def on_failure(self, text: str | None) -> None:
        self._step.on_failure = text

    @property
    def is_open(self) -> bool:
        """Whether this process has started the step and not ended it."""
        return self._step.is_open

    @property
    def completed(self) -> float:
        """Units that this process has done, 0 or more."""
        return self._step.completed

    @property
    def resumed(self) -> float:
        """Units in `completed` that `resume` names as done by an earlier run."""
        return self._step.resumed

    @property
    def total(self) -> float | None:
        """Total number of units, 0 to 2**53 - 1; None while unknown. Can be set."""
        return self._step.total

    @total.setter
    def total(self, units: float | None) -> None:
        self._step.total = units

    @property
    def fraction(self) -> float:
        """Share of the step that is done, 0.0 to 1.0. Can be set instead of counting.

        A lower value than before is not shown to the customer.
        """
        return self._step.fraction

    @fraction.setter
    def fraction(self, share: float) -> None:
        self._step.fraction = share

    @property
    def status(self) -> str:
        """Status: pending, running, done, failed, skipped, cancelled or not_run."""
        return self._step.status

    @property
    def is_ready(self) -> bool:
        """Whether the step may begin; see `TrackerStep.is_ready`."""
        return self._step.is_ready

    async def start(self) -> None:
        """Report that the step begins; a block does this itself."""
        await self._do(self._step.start)

    async def done(self, message: str | None = None) -> None:
        """Report that the step is done; a block does this itself."""
        await self._do(partial(self._step.done, message))

    async def fail(
        self, customer: str | None = None, error: BaseException | str | None = None
    ) -> None:
        """Report that the step has failed; a block does this itself."""
        await self._do(partial(self._step.fail, customer, error))

    async def skip(self, reason: str | None = None) -> None:
        """Report that the step is not needed."""
        await self._do(partial(self._step.skip, reason))

    async def advance(self, units: float = 1) -> None:
        """Count units that are done; a thread writes the count."""
        self._step.advance(units)

    async def note(self, text: str) -> None:
        """Add a line to the timeline that the customer reads."""
        await self._do(partial(self._step.note, text))

    async def detail(self, text: str | None = None, /, **values: object) -> None:
        """Add a line to the timeline that only the provider reads."""
        await self._do(partial(self._step.detail, text, **values))

    async def item_failed(
        self,
        item: object,
        *,
        customer: str | None = None,
        error: BaseException | str | None = None,
    ) -> None:
        """Report that one item of the step failed, and that the step continues."""
        await self._do(
            partial(self._step.item_failed, item, customer=customer, error=error)
        )

    def track(
        self,
        items: "Iterable[Item] | AsyncIterable[Item]",
        *,
        total: float | None = None,
        weight: Callable[[Any], float] | None = None,
        key: Callable[[Any], object] | None = None,
        resume: Container[object] = (),
    ) -> AsyncIterator[Item]:
        """Iterate over items by `async for`; see `TrackerStep.track()`."""
        loop = self._step.track(
            items, total=total, weight=weight, key=key, resume=resume
        )
        return aiter(loop)

    def attempts(
        self,
        count: int,
        *,
        on: type[Exception] | tuple[type[Exception], ...] = Exception,
        wait_seconds: float = 1.0,
        customer: str | None = None,
    ) -> Attempts:
        """Iterate over attempts, each a block, until an attempt succeeds.

        Example:
            async for attempt in step.attempts(3, on=(IOError,)):
                async with attempt:
                    await upload()
        """
        return self._step.attempts(
            count, on=on, wait_seconds=wait_seconds, customer=customer
        )

    async def _do(self, report: Callable[[], object]) -> None:
        await run_posted(self._block.post, report)
