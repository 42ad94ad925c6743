"""Public handle of one job for an event loop."""

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Container,
    Iterable,
    Iterator,
    Mapping,
)
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from trackerapi.aio.pages import paged
from trackerapi.aio.step import AsyncTrackerStep
from trackerapi.jobs.job import TrackerJob, job_block
from trackerapi.process.event_loops import begin, end, run_in_thread, run_posted

if TYPE_CHECKING:
    from trackerapi.config.job_config import JobConfig
    from trackerapi.models import Job, JobEvent, ShareLink

Item = TypeVar("Item")
Given = ParamSpec("Given")
Result = TypeVar("Result")


class AsyncTrackerJob:
    """Report one job from an event loop.

    Made by `AsyncTrackerApi.create_job()`, `run_job()`, `attach()` and `job()`. As a
    block, the handle reports the begin and the end of the job. The job ends as
    succeeded, cancelled with its task, interrupted by SIGTERM, or failed by an
    exception, which propagates unchanged.

    The members are those of `TrackerJob`, which documents their parameters; within the
    block `current_job()` returns the `TrackerJob`. A report returns once its event is
    in the outbox. Reports are written in the order of their calls. A report is also
    written if its task is cancelled during the call. No call blocks the event loop,
    except the first `is_ready()` without `recall()`.

    Example:
        async with tracker.run_job("import-42", customer_id=142, tag="import") as job:
            async with job.step("download") as step:
                await download(step)
    """

    def __init__(self, job: TrackerJob) -> None:
        self._job, self._block = job, job_block(job)
        self._steps: dict[str, AsyncTrackerStep] = {}

    def __repr__(self) -> str:
        return f"Async{self._job!r}"

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
    def provider_job_id(self) -> str:
        """The provider's id of the job."""
        return self._job.provider_job_id

    @property
    def config(self) -> "JobConfig | None":
        """Configuration of the job; None if this process has not loaded it."""
        return self._job.config

    @property
    def is_stopped(self) -> bool:
        """Whether SIGTERM has asked the process to end."""
        return self._job.is_stopped

    @property
    def steps(self) -> "AsyncJobSteps":
        """Steps by tag or display name, in the order of the configuration."""
        return AsyncJobSteps(self, self._job.steps)

    def step(
        self, name: str, *, total: float | None = None, on_failure: str | None = None
    ) -> AsyncTrackerStep:
        """Return the handle of a step, best used as a block; see `TrackerJob.step()`.

        All calls for one step return the same handle.
        """
        step = self._job.step(name, total=total, on_failure=on_failure)
        return self._steps.setdefault(step.tag, AsyncTrackerStep(self, step))

    def track(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        step: str,
        total: float | None = None,
        weight: Callable[[Any], float] | None = None,
        key: Callable[[Any], object] | None = None,
        resume: Container[object] = (),
    ) -> AsyncIterator[Item]:
        """Iterate by `async for` as one step; see `TrackerJob.track()`."""
        loop = self._job.track(
            items, step=step, total=total, weight=weight, key=key, resume=resume
        )
        return aiter(loop)

    async def send_event(
        self,
        kind: str,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        tag: str | None = None,
        message: str | None = None,
        detail: str | None = None,
        completed: float | None = None,
        total: float | None = None,
        fraction: float | None = None,
        retrying: bool = False,
        occurred_at: datetime | None = None,
        part: str | None = None,
        failed: float | None = None,
        max_attempts: int | None = None,
    ) -> str:
        """Report one event; see `TrackerJob.send_event()`.

        Returns:
            The id of the event, by which the backend detects duplicates.
        """
        return await self._do(
            partial(
                self._job.send_event,
                kind,
                name,
                metadata,
                tag=tag,
                message=message,
                detail=detail,
                completed=completed,
                total=total,
                fraction=fraction,
                retrying=retrying,
                occurred_at=occurred_at,
                part=part,
                failed=failed,
                max_attempts=max_attempts,
            )
        )

    async def skip(self, step: str, *, reason: str | None = None) -> None:
        """Report that a step is not needed."""
        await self._do(partial(self._job.skip, step, reason=reason))

    async def complete(self, remarks: str | None = None) -> None:
        """Report that the job has succeeded; steps that never began read `not_run`."""
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
        """Report that the job was stopped from outside and is expected to continue."""
        await self._do(partial(self._job.interrupt, reason))

    async def note(self, text: str) -> None:
        """Add a line to the timeline that the customer reads."""
        await self._do(partial(self._job.note, text))

    async def detail(self, text: str | None = None, /, **values: object) -> None:
        """Add a line to the timeline that only the provider reads."""
        await self._do(partial(self._job.detail, text, **values))

    def bind(self, function: Callable[Given, Result]) -> Callable[Given, Result]:
        """Return a function that calls `function` in this job and the current step.

        See `TrackerJob.bind()`. New tasks and `asyncio.to_thread()` keep the current
        job and step without `bind()`.
        """
        return self._job.bind(function)

    def is_ready(self, tag: str) -> bool:
        """Return whether a step may begin; see `TrackerStep.is_ready`."""
        return self._job.is_ready(tag)

    async def recall(self) -> None:
        """Read the undelivered reports of earlier processes, in a thread.

        Without `recall()`, the first use of `is_ready()`, or of a step's `status` or
        `is_ready`, reads the outbox and blocks the event loop.
        """
        await self._do(self._job.recall)

    async def token(self, *, expires_at: datetime | None = None) -> str:
        """Make a credential for only this job, for `attach()` in another process."""
        return await run_in_thread(partial(self._job.token, expires_at=expires_at))

    async def fetch(self) -> "Job":
        """Ask the backend for the job and its progress."""
        return await run_in_thread(self._job.fetch)

    def events(self) -> "AsyncIterator[JobEvent]":
        """Iterate over the job's events in order of arrival; one request per page."""
        return paged(self._job.events)

    async def share_link(
        self,
        *,
        expires_at: datetime | None = None,
        label: str | None = None,
        language: str | None = None,
    ) -> str:
        """Make a link to the customer's page of this job; return its address."""
        return await run_in_thread(
            partial(
                self._job.share_link,
                expires_at=expires_at,
                label=label,
                language=language,
            )
        )

    def share_links(self) -> "AsyncIterator[ShareLink]":
        """Iterate over the links to this job, newest first, without addresses."""
        return paged(self._job.share_links)

    async def revoke_share_link(self, share_link_id: int) -> "ShareLink":
        """Revoke a link: its address stops working immediately."""
        return await run_in_thread(partial(self._job.revoke_share_link, share_link_id))

    async def _do(self, report: Callable[[], Result]) -> Result:
        return await run_posted(self._block.post, report)


class AsyncJobSteps(Mapping[str, AsyncTrackerStep]):
    """Steps of a job's configuration; see `TrackerJob.steps`."""

    def __init__(self, job: AsyncTrackerJob, names: Mapping[str, object]) -> None:
        self._job, self._names = job, names

    def __repr__(self) -> str:
        return repr(self._names)

    def __getitem__(self, name: str) -> AsyncTrackerStep:
        self._names[name]  # Raises for an unknown step.
        return self._job.step(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
