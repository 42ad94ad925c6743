"""The handle of one job for an event loop."""

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, Unpack

from trackerapi.aio.pages import paged
from trackerapi.aio.step import AsyncTrackerStep
from trackerapi.jobs.job import TrackerJob
from trackerapi.jobs.options import EventDetails, LoopOptions
from trackerapi.process.event_loops import begin, done_by, end, in_thread

if TYPE_CHECKING:
    from trackerapi.config.job_config import JobConfig
    from trackerapi.events.projection import JobProgress
    from trackerapi.models import Job, JobEvent, ShareLink

Item = TypeVar("Item")
Given = ParamSpec("Given")
Result = TypeVar("Result")


class AsyncTrackerJob:
    """Report what one job does.

    Made by `AsyncTrackerApi.create_job()`, `run_job()`, `attach()` and `job()`. As a
    block it begins the job and ends it: succeeded, cancelled where its task was,
    interrupted by SIGTERM, or failed with an exception, which goes on untouched. A
    report returns once it is in the outbox; reports are written in the order of their
    calls, also that of a task that is cancelled meanwhile.

    Decides nothing: what each member means is said by `TrackerJob`, whose handle
    `current_job()` returns within the block.

    Example:
        async with tracker.run_job("import-42", customer_id=142, tag="import") as job:
            async with job.step("download") as step:
                await download(step)
    """

    def __init__(self, job: TrackerJob) -> None:
        self._job = job
        self._steps: dict[str, AsyncTrackerStep] = {}

    def __repr__(self) -> str:
        return f"Async{self._job!r}"

    async def __aenter__(self) -> Self:
        await begin(self._job)
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await end(self._job, error)

    @property
    def provider_job_id(self) -> str:
        """The provider's id of the job."""
        return self._job.provider_job_id

    @property
    def config(self) -> "JobConfig | None":
        """The job's configuration; None if this process does not know it."""
        return self._job.config

    @property
    def part(self) -> str | None:
        """Name under which this place counts; None where it counts alone."""
        return self._job.part

    @property
    def progress(self) -> "JobProgress":
        """How far the job is, as far as this process knows."""
        return self._job.progress

    async def recall(self) -> "JobProgress":
        """Return how far the job is, with what earlier processes have left here.

        `is_ready()`, and `status` and `is_ready` of a step, do so once by themselves;
        to read the outbox first by this keeps them from blocking the loop.
        """
        return await self._do(self._job.recall)

    @property
    def is_stopped(self) -> bool:
        """Whether SIGTERM has asked the process to end."""
        return self._job.is_stopped

    @property
    def steps(self) -> "AsyncJobSteps":
        """The steps by tag, in the order of the configuration."""
        return AsyncJobSteps(self, self._job.steps)

    def step(
        self, name: str, *, total: float | None = None, on_failure: str | None = None
    ) -> AsyncTrackerStep:
        """Return the handle of a step, best used as a block; the same for the same."""
        step = self._job.step(name, total=total, on_failure=on_failure)
        return self._steps.setdefault(step.tag, AsyncTrackerStep(self, step))

    def track(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        step: str,
        **options: Unpack[LoopOptions],
    ) -> AsyncIterator[Item]:
        """Iterate by `async for` as one step: it starts, counts items, and is done."""
        return aiter(self._job.track(items, step=step, **options))

    async def send_event(
        self,
        kind: str,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        tag: str | None = None,
        **details: Unpack[EventDetails],
    ) -> str:
        """Report one event; return its id, by which the backend knows repeats."""
        return await self._do(
            partial(
                self._job.send_event,
                kind,
                name,
                metadata,
                tag=tag,
                **details,
            )
        )

    async def skip(self, step: str, *, reason: str | None = None) -> None:
        """Report that a step is not needed."""
        await self._do(partial(self._job.skip, step, reason=reason))

    async def complete(self, remarks: str | None = None) -> None:
        """Report that the job has succeeded; steps never reached are not run."""
        await self._do(partial(self._job.complete, remarks))

    async def fail(
        self, customer: str | None = None, error: BaseException | str | None = None
    ) -> None:
        """Report that the job has failed."""
        await self._do(partial(self._job.fail, customer, error))

    async def cancel(self, reason: str | None = None) -> None:
        """Report that the job was cancelled."""
        await self._do(partial(self._job.cancel, reason))

    async def interrupt(self, reason: str | None = None) -> None:
        """Report that the job was stopped from outside and is expected to go on."""
        await self._do(partial(self._job.interrupt, reason))

    async def note(self, text: str) -> None:
        """Add a line to the timeline that the customer reads."""
        await self._do(partial(self._job.note, text))

    async def detail(self, text: str | None = None, /, **values: object) -> None:
        """Add a line to the timeline that only the provider reads."""
        await self._do(partial(self._job.detail, text, **values))

    def bind(self, function: Callable[Given, Result]) -> Callable[Given, Result]:
        """Return a function that runs in this job and step, in whatever thread.

        A task and `asyncio.to_thread()` belong to them without that.
        """
        return self._job.bind(function)

    def is_ready(self, tag: str) -> bool:
        """Tell whether a step may begin; see `TrackerStep.is_ready`."""
        return self._job.is_ready(tag)

    async def token(self, *, expires_at: datetime | None = None) -> str:
        """Make a credential for this job alone, to attach to it elsewhere."""
        return await in_thread(partial(self._job.token, expires_at=expires_at))

    async def fetch(self) -> "Job":
        """Ask the backend how far the job is."""
        return await in_thread(self._job.fetch)

    def events(self) -> "AsyncIterator[JobEvent]":
        """Iterate over the job's events in order of arrival, page by page."""
        return paged(self._job.events)

    async def share_link(self, *, expires_at: datetime | None = None) -> str:
        """Make a link to the customer's page of this job."""
        return await in_thread(partial(self._job.share_link, expires_at=expires_at))

    def share_links(self) -> "AsyncIterator[ShareLink]":
        """Iterate over the links to this job, newest first, without addresses."""
        return paged(self._job.share_links)

    async def revoke_share_link(self, share_link_id: int) -> "ShareLink":
        """End a link at once."""
        return await in_thread(partial(self._job.revoke_share_link, share_link_id))

    async def _do(self, report: Callable[[], Result]) -> Result:
        return await done_by(self._job.post, report)


class AsyncJobSteps(Mapping[str, AsyncTrackerStep]):
    """The steps of a job's configuration; see `TrackerJob.steps`."""

    def __init__(self, job: AsyncTrackerJob, names: Mapping[str, object]) -> None:
        self._job, self._names = job, names

    def __getitem__(self, name: str) -> AsyncTrackerStep:
        self._names[name]  # raises for one that is unknown
        return self._job.step(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
