"""Read calls in an event loop when no thread can be started."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from tests.support.running_backend import RunningBackend
from trackerapi import AsyncTrackerApi, JobConfig


def test_read_calls_run_in_the_loop_where_no_thread_can_start(
    backend: RunningBackend,
    config: JobConfig,
    outbox: Path,
    no_threads: Callable[[], None],
) -> None:
    """If no thread can be started, the event loop sends the request itself."""
    tracker = AsyncTrackerApi(backend.api_key, backend.base_url, outbox=outbox)

    async def main() -> str:
        assert (await tracker.verify_api_key()).scopes
        job = await tracker.create_job("no-threads", 142, config.tag)
        await tracker.close()
        return (await job.fetch()).status

    no_threads()
    assert asyncio.run(main()) == "pending"
