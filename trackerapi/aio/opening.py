"""A job that is being created: a block, and something to await."""

from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any

from trackerapi.aio.job import AsyncTrackerJob
from trackerapi.jobs.job import TrackerJob
from trackerapi.process.event_loops import Making


class JobOpening:
    """What `AsyncTrackerApi.create_job()` and `run_job()` return.

    `await` creates the job and gives its handle; `async with` runs the job, too.
    Nothing is done before that.

    Args:
        create: Creates the job; may wait for the backend.
    """

    def __init__(self, create: Callable[[], TrackerJob]) -> None:
        self._making = Making(create)
        self._handle: AsyncTrackerJob | None = None

    def __await__(self) -> Generator[Any, None, AsyncTrackerJob]:
        return self._opened().__await__()

    async def __aenter__(self) -> AsyncTrackerJob:
        import asyncio

        try:
            handle = await self._opened()
        except asyncio.CancelledError as error:
            # The thread may be at it for seconds; what it creates has nobody to run it.
            self._making.leave(error)
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
            self._handle = AsyncTrackerJob(await self._making.made())
        return self._handle
