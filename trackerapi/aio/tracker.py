"""AsyncTrackerApi: settings, jobs and read calls of one provider, for an event loop."""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, overload

from trackerapi import administration, composition
from trackerapi.aio.administration import AsyncAdministration
from trackerapi.aio.job import AsyncTrackerJob
from trackerapi.aio.opening import JobOpening
from trackerapi.aio.pages import paged
from trackerapi.aio.watching import states_of
from trackerapi.delivery import delivery
from trackerapi.jobs import opening
from trackerapi.jobs.job import TrackerJob
from trackerapi.process.event_loops import run_in_thread
from trackerapi.tracker import TrackerApi, job_watch

if TYPE_CHECKING:
    from trackerapi.config.job_config import JobConfig
    from trackerapi.delivery.report import DeliveryReport
    from trackerapi.jobs.decorators import Function
    from trackerapi.jobs.reporter import BeforeSend
    from trackerapi.models import ApiKeyOwner, Job, RegisteredJobConfig
    from trackerapi.problems import ProblemCallback
    from trackerapi.wire.client import BackendClient

PRELOADED: Final = (administration, composition, delivery, opening)
"""Modules that `TrackerApi` loads on first use. They are loaded with this module,
because loading blocks an event loop."""


class AsyncTrackerApi:
    """Report jobs to the backend, and read them, from an event loop.

    The members and parameters are those of `TrackerApi`, which documents them. Reports
    and read calls are coroutines; lists are for `async for`. No call blocks the event
    loop: threads wait for the disk and the backend. Reports of a task, and of tasks
    that await each other, are written in the order of their calls.

    Safe to share between the tasks of a loop, and between loops.

    Args:
        api_key: Key of the provider; None reads `TRACKERAPI_API_KEY`, or the file that
            `TRACKERAPI_API_KEY_FILE` names. The constructor reads the file and may
            block.
        base_url: Address of the backend; None reads `TRACKERAPI_BASE_URL`.

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
        *,
        api_key_file: str | os.PathLike[str] | None = None,
        strict: bool | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        verify: bool | None = None,
        proxy: str | None = None,
        timeout_seconds: float | None = None,
        mode: Literal["online", "offline", "off"] | None = None,
        outbox: str | os.PathLike[str] | None = None,
        shutdown_timeout: float | None = None,
        fsync: bool | None = None,
        outbox_limit_bytes: int | None = None,
        on_sigterm: Literal["interrupt", "cancel"] | None = None,
        progress: Literal["off", "auto", "live", "plain"] | None = None,
        progress_seconds: float | None = None,
        before_send: "BeforeSend | None" = None,
        on_problem: "ProblemCallback | None" = None,
    ) -> None:
        self._tracker = TrackerApi(
            api_key,
            base_url,
            api_key_file=api_key_file,
            strict=strict,
            ca_file=ca_file,
            verify=verify,
            proxy=proxy,
            timeout_seconds=timeout_seconds,
            mode=mode,
            outbox=outbox,
            shutdown_timeout=shutdown_timeout,
            fsync=fsync,
            outbox_limit_bytes=outbox_limit_bytes,
            on_sigterm=on_sigterm,
            progress=progress,
            progress_seconds=progress_seconds,
            before_send=before_send,
            on_problem=on_problem,
        )
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
        """Generated client with the key, timeouts and retries of this tracker.

        For `asyncio` calls such as `trackerapi_client.api.jobs.list_jobs.asyncio()`.
        The first use loads the HTTP client, which blocks the event loop for a tenth of
        a second. To avoid this, await a read call before, or read `client` before the
        event loop runs.
        """
        self._client = self._tracker.client
        return self._client

    @property
    def admin(self) -> AsyncAdministration:
        """Keys, customers and stored configurations; needs a key with `admin`."""
        return AsyncAdministration(self._tracker.admin)

    async def close(self) -> None:
        """Deliver undelivered records, then close the connections.

        Waits at most `shutdown_timeout`, and not at all when the backend is known to
        be down; the next process delivers the records that remain.
        """
        await run_in_thread(self._tracker.close)
        # Only this event loop can close the connections that it has opened.
        if self._client is not None:
            await self._client.aclose()

    async def flush(self, timeout: float = 10.0) -> "DeliveryReport":
        """Deliver undelivered records, also of ended processes, and wait."""
        return await run_in_thread(partial(self._tracker.flush, timeout))

    async def delivery(self) -> "DeliveryReport":
        """Return the state of delivery; sends no request."""
        return await run_in_thread(self._tracker.delivery)

    def create_job(
        self,
        provider_job_id: str,
        customer_id: int,
        tag: str,
        *,
        config: "JobConfig | None" = None,
        finish: Literal["auto", "explicit"] = "auto",
        metadata: Mapping[str, Any] | None = None,
        title: str | None = None,
        reference: str | None = None,
    ) -> JobOpening:
        """Create a job, or attach to the existing job; see `TrackerApi.create_job()`.

        Returns:
            An object for `await`, which returns the handle, or for `async with`.

        Example:
            job = await tracker.create_job("import-42", customer_id=142, tag="import")
            await job.send_event(kind="step", name="download")
        """
        return JobOpening(
            partial(
                self._tracker.create_job,
                provider_job_id,
                customer_id,
                tag,
                config=config,
                finish=finish,
                metadata=metadata,
                title=title,
                reference=reference,
            )
        )

    def run_job(
        self,
        provider_job_id: str,
        customer_id: int,
        tag: str,
        *,
        config: "JobConfig | None" = None,
        metadata: Mapping[str, Any] | None = None,
        title: str | None = None,
        reference: str | None = None,
    ) -> JobOpening:
        """Create a job that `async with` runs; see `TrackerApi.run_job()`.

        Example:
            async with tracker.run_job("import-42", 142, "import") as job:
                async for file in job.track(files, step="load"):
                    await load(file)
        """
        return JobOpening(
            partial(
                self._tracker.run_job,
                provider_job_id,
                customer_id,
                tag,
                config=config,
                metadata=metadata,
                title=title,
                reference=reference,
            )
        )

    def as_job(
        self,
        tag: str,
        *,
        provider_job_id: str | Callable[..., str],
        customer_id: int | Callable[..., int],
        config: "JobConfig | None" = None,
        metadata: Mapping[str, Any] | None = None,
        title: str | Callable[..., str | None] | None = None,
        reference: str | Callable[..., str | None] | None = None,
    ) -> "Callable[[Function], Function]":
        """Return a decorator: each call of the function runs as a job.

        See `TrackerApi.as_job()`. In a decorated coroutine function, `current_job()`
        is the job.
        """
        return self._tracker.as_job(
            tag,
            provider_job_id=provider_job_id,
            customer_id=customer_id,
            config=config,
            metadata=metadata,
            title=title,
            reference=reference,
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
        provider_job_id: str | Callable[..., str],
        customer_id: int | Callable[..., int],
        config: "JobConfig | None" = None,
        metadata: Mapping[str, Any] | None = None,
        title: str | Callable[..., str | None] | None = None,
        reference: str | Callable[..., str | None] | None = None,
    ) -> "Callable[[Function], Function]": ...

    def job(
        self,
        *name: str,
        **given: Any,
    ) -> Any:
        """Return a handle of an existing job; see `TrackerApi.job()`.

        With `customer_id`, `job()` is the older name of `as_job()` and returns a
        decorator.
        """
        found: Any = self._tracker.job(*name, **given)
        return AsyncTrackerJob(found) if isinstance(found, TrackerJob) else found

    def attach(
        self, token: str | None = None, *, part: str | None = None
    ) -> AsyncTrackerJob:
        """Return a handle of a job that another process created; sends no request."""
        return AsyncTrackerJob(self._tracker.attach(token, part=part))

    async def get_job(self, provider_job_id: str) -> "Job":
        """Ask the backend for a job and its progress."""
        return await run_in_thread(partial(self._tracker.get_job, provider_job_id))

    def list_jobs(
        self,
        *,
        provider_job_id: str | None = None,
        customer_id: int | None = None,
        tag: str | None = None,
        status: Sequence[str] | None = None,
        created_since: datetime | None = None,
    ) -> "AsyncIterator[Job]":
        """Iterate over the provider's jobs, newest first; one request per page."""
        return paged(
            partial(
                self._tracker.list_jobs,
                provider_job_id=provider_job_id,
                customer_id=customer_id,
                tag=tag,
                status=status,
                created_since=created_since,
            )
        )

    def watch(
        self, provider_job_id: str, *, until_done: bool = True
    ) -> "AsyncGenerator[Job]":
        """Iterate over the states of a job by `async for`; see `TrackerApi.watch()`.

        A loop that ends early, by `break` or an exception, closes the connection once
        the generator is closed: `contextlib.aclosing()` closes it at once.

        Example:
            async for state in tracker.watch("import-42"):
                print(state.status, state.percent)
        """
        return states_of(
            job_watch(self._tracker, provider_job_id, until_done=until_done)
        )

    async def register_job_config(self, config: "JobConfig") -> "RegisteredJobConfig":
        """Store a job configuration at the backend before the first job needs it."""
        return await run_in_thread(partial(self._tracker.register_job_config, config))

    async def verify_api_key(self) -> "ApiKeyOwner":
        """Ask the backend for the owner and the scopes of the key."""
        return await run_in_thread(self._tracker.verify_api_key)
