"""A job that is being created: a block, and something to await."""

from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any

from trackerapi.aio.job import AsyncTrackerJob
from trackerapi.blocks.off_loop import in_thread
from trackerapi.job import TrackerJob


class JobOpening:
    """What `AsyncTrackerApi.create_job()` and `run_job()` return.

    `await` creates the job and gives its handle; `async with` runs the job, too.
    Nothing is done before that.

    Args:
        create: Creates the job; may wait for the backend.
    """

    def __init__(self, create: Callable[[], TrackerJob]) -> None:
        self._create = create
        self._created: TrackerJob | None = None
        self._handle: AsyncTrackerJob | None = None
        self._left_by: BaseException | None = None

    def __await__(self) -> Generator[Any, None, AsyncTrackerJob]:
        return self._opened().__await__()

    async def __aenter__(self) -> AsyncTrackerJob:
        import asyncio

        try:
            handle = await self._opened()
        except asyncio.CancelledError as error:
            # The thread may be at it for seconds; what it creates has nobody to run it.
            self._left_by = error
            self._end_if_left()
            raise
        return await handle.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await (await self._opened()).__aexit__(kind, error, traceback)

    async def _opened(self) -> AsyncTrackerJob:
        if self._handle is None:
            self._handle = AsyncTrackerJob(await in_thread(self._make))
        return self._handle

    def _make(self) -> TrackerJob:
        self._created = job = self._create()
        self._end_if_left()
        return job

    def _end_if_left(self) -> None:
        """End a job whose task was cancelled before it had it, whoever comes last."""
        job, error = self._created, self._left_by
        if job is not None and error is not None:
            job.post(lambda: job.end_block(error))
