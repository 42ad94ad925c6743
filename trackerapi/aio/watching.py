"""Watch of one job by `async for`; a thread waits for each state."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from trackerapi.jobs.watching import JobWatch
from trackerapi.process.event_loops import run_in_thread

if TYPE_CHECKING:
    from trackerapi.models import Job


async def states_of(watch: JobWatch) -> "AsyncGenerator[Job]":
    """Yield the states of a watch; close it with the generator, or with its task."""
    try:
        while (job := await run_in_thread(watch.next_state)) is not None:
            yield job
    finally:
        watch.close()
