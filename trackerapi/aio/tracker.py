"""AsyncTrackerApi: what a job script in an event loop makes first."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, Unpack, overload

from trackerapi import administration, composition
from trackerapi.aio.administration import AsyncAdministration
from trackerapi.aio.job import AsyncTrackerJob
from trackerapi.aio.opening import JobOpening
from trackerapi.aio.pages import paged
from trackerapi.delivery import delivery
from trackerapi.jobs import opening
from trackerapi.jobs.options import JobOptions, RunOptions, TrackerOptions
from trackerapi.process.event_loops import in_thread
from trackerapi.tracker import TrackerApi

if TYPE_CHECKING:
    from trackerapi.config.job_config import JobConfig
    from trackerapi.delivery.report import DeliveryReport
    from trackerapi.jobs.decorators import Function
    from trackerapi.models import ApiKeyOwner, Job, RegisteredJobConfig
    from trackerapi.wire.calls import JobFilter
    from trackerapi.wire.client import BackendClient

NEEDED_SOON: Final = (administration, composition, delivery, opening)
"""What `TrackerApi` loads when it is needed, which would block an event loop."""


class AsyncTrackerApi:
    """Report what jobs do, and ask the backend about them, from an event loop.

    Has the names of `TrackerApi`, which says what each of them means, and decides
    nothing itself. Reports and questions are awaited, lists are for `async for`; none
    of them blocks the loop, whatever the backend and the disk do. Reports of a task,
    and of tasks that await each other, are written in the order of their calls.

    Safe to share between the tasks of a loop, and between loops.

    Args:
        api_key: Key of the provider; None reads `TRACKERAPI_API_KEY`, or the file
            that `TRACKERAPI_API_KEY_FILE` names, at once.
        base_url: Address of the backend; None reads `TRACKERAPI_BASE_URL`.
        **options: See `TrackerOptions`.

    Raises:
        SettingsError: If a setting is missing or invalid; names the variable.

    Example:
        async with AsyncTrackerApi() as tracker:
            async with tracker.run_job("import-42", 142, "import") as job:
                async with job.step("download") as step:
                    async for chunk in step.track(stream(), total=size, weight=len):
                        await sink.write(chunk)
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        **options: Unpack[TrackerOptions],
    ) -> None:
        self._tracker = TrackerApi(api_key, base_url, **options)
        self._client: BackendClient | None = None

    def __repr__(self) -> str:
        return f"Async{self._tracker!r}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def base_url(self) -> str:
        """Address of the backend, without a trailing slash."""
        return self._tracker.base_url

    @property
    def client(self) -> "BackendClient":
        """The generated client, ready with key, timeouts, retries and guard.

        For `asyncio` calls such as `trackerapi_client.api.jobs.list_jobs.asyncio()`.
        Loads the HTTP client, which takes a tenth of a second: ask anything of this
        object before, or use it before the loop runs.
        """
        self._client = self._tracker.client
        return self._client

    @property
    def admin(self) -> AsyncAdministration:
        """Keys, customers and stored configurations; needs a key with `admin`."""
        return AsyncAdministration(self._tracker.admin)

    async def close(self) -> None:
        """Deliver what waits, then close the connections; a later call opens new ones.

        Waits at most `shutdown_timeout`, and not at all when the backend is known to
        be down.
        """
        await in_thread(self._tracker.close)
        if self._client is not None:  # only this loop can close what it has opened
            await self._client.aclose()

    async def flush(self, timeout: float = 10.0) -> "DeliveryReport":
        """Deliver what waits, also what earlier processes have left; wait for it."""
        return await in_thread(partial(self._tracker.flush, timeout))

    async def delivery(self) -> "DeliveryReport":
        """Tell how far delivery is, without any request."""
        return await in_thread(self._tracker.delivery)

    def create_job(
        self,
        provider_job_id: str,
        customer_id: int,
        tag: str,
        **options: Unpack[JobOptions],
    ) -> JobOpening:
        """Create a job, or attach to the one that has this id already.

        Returns:
            What gives the handle when it is awaited, and runs the job as a block of
            `async with`.
        """
        return JobOpening(
            partial(
                self._tracker.create_job, provider_job_id, customer_id, tag, **options
            )
        )

    def run_job(
        self,
        provider_job_id: str,
        customer_id: int,
        tag: str,
        **options: Unpack[RunOptions],
    ) -> JobOpening:
        """Create a job, or attach to it, to be run as a block of `async with`."""
        return JobOpening(
            partial(self._tracker.run_job, provider_job_id, customer_id, tag, **options)
        )

    @overload
    def job(
        self, provider_job_id: str, *, tag: str | None = None
    ) -> AsyncTrackerJob: ...

    @overload
    def job(
        self,
        tag: str,
        /,
        *,
        provider_job_id: "str | Callable[..., str]",
        customer_id: "int | Callable[..., int]",
        **options: Unpack[RunOptions],
    ) -> "Callable[[Function], Function]": ...

    def job(self, *name: str, **given: Any) -> Any:
        """Return a handle for a job that exists already, or a decorator for new ones.

        In a decorated coroutine function, `current_job()` is the job.
        """
        if "customer_id" in given:
            return self._tracker.job(*name, **given)
        return AsyncTrackerJob(self._tracker.job(*name, **given))

    def attach(
        self, token: str | None = None, *, part: str | None = None
    ) -> AsyncTrackerJob:
        """Return a handle for a job that another place has begun, without a request."""
        return AsyncTrackerJob(self._tracker.attach(token, part=part))

    async def get_job(self, provider_job_id: str) -> "Job":
        """Ask how far a job is."""
        return await in_thread(partial(self._tracker.get_job, provider_job_id))

    def list_jobs(self, **wanted: "Unpack[JobFilter]") -> "AsyncIterator[Job]":
        """Iterate over the provider's jobs, newest first, page by page."""
        return paged(partial(self._tracker.list_jobs, **wanted))

    async def register_job_config(self, config: "JobConfig") -> "RegisteredJobConfig":
        """Store a job configuration at the backend before the first job needs it."""
        return await in_thread(partial(self._tracker.register_job_config, config))

    async def verify_api_key(self) -> "ApiKeyOwner":
        """Ask whose key this is and what it may do."""
        return await in_thread(self._tracker.verify_api_key)
