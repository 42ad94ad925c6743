"""Result of `AsyncTrackerApi.create_job()`, for `await` or `async with`."""

from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any

from trackerapi.aio.job import AsyncTrackerJob
from trackerapi.jobs.job import TrackerJob, job_block
from trackerapi.process.event_loops import PendingBlock


class JobOpening:
    """Result of `AsyncTrackerApi.create_job()` and `run_job()`.

    `await` creates the job and returns its handle; `async with` also runs the job as a
    block. The first `await` or `async with` creates the job, in a thread.

    Args:
        create: Function that creates the job; may wait for the backend.
    """

    def __init__(self, create: Callable[[], TrackerJob]) -> None:
        self._pending = PendingBlock(lambda: job_block(create()))
        self._handle: AsyncTrackerJob | None = None

    def __await__(self) -> Generator[Any, None, AsyncTrackerJob]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncTrackerJob:
        import asyncio

        try:
            handle = await self._open()
        except asyncio.CancelledError as error:
            # The thread may still create the job, but its task is cancelled: end the
            # job.
            self._pending.abandon(error)
            raise
        return await handle.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await (await self._open()).__aexit__(kind, error, traceback)

    async def _open(self) -> AsyncTrackerJob:
        if self._handle is None:
            self._handle = AsyncTrackerJob((await self._pending.result()).handle)
        return self._handle
