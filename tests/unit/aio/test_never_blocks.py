"""The event loop goes on, whatever the backend and the disk do."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import pytest

from tests.scripted_server import answering
from tests.unit.aio.conftest import (
    NOWHERE,
    PATIENCE_SECONDS,
    SLACK_SECONDS,
    Gate,
    ticking,
)
from tests.unit.blocks.conftest import story
from tests.unit.test_failure_table import silent
from trackerapi import (
    AsyncTrackerApi,
    AsyncTrackerJob,
    BackendUnavailable,
    JobConfig,
    TrackerApi,
    current_job,
    step,
)

Operation = Callable[[AsyncTrackerJob], Awaitable[object]]


async def enter_step(job: AsyncTrackerJob) -> None:
    """Run a block of a step."""
    async with job.step("load"):
        pass


async def fail_step(job: AsyncTrackerJob) -> None:
    """Leave a block of a step by an exception."""
    with pytest.raises(ValueError, match="x"):
        async with job.step("load"):
            raise ValueError("x")


async def loop_over(job: AsyncTrackerJob) -> None:
    """Run a loop that is a step."""
    async for _ in job.track([1, 2], step="load"):
        pass


async def set_total(job: AsyncTrackerJob) -> None:
    """Say by assignment how much there is, and how much is done, then wait for it."""
    load = job.step("load", total=3)
    load.total = 4
    load.fraction = 0.5
    await load.advance()
    await load.done()


async def attempt(job: AsyncTrackerJob) -> None:
    """Make two attempts."""
    async for each in job.step("load").attempts(2, wait_seconds=0):
        async with each:
            if not each.is_last:
                raise ValueError("x")


OPERATIONS: Final[dict[str, Operation]] = {
    "send_event": lambda job: job.send_event(kind="heartbeat"),
    "note": lambda job: job.note("words"),
    "detail": lambda job: job.step("load").detail("words"),
    "item_failed": lambda job: job.step("load").item_failed(1, error=ValueError("x")),
    "complete": lambda job: job.complete(),
    "block": enter_step,
    "failing block": fail_step,
    "loop": loop_over,
    "assignment": set_total,
    "attempts": attempt,
}


async def pass_each(gate: Gate, task: "asyncio.Task[Any]") -> None:
    """Let one record after the other pass the gate, from within the loop."""
    while not task.done():
        if gate.arrived.is_set():
            gate.pass_one()
        await asyncio.sleep(0)
    await task


@pytest.mark.parametrize("name", OPERATIONS)
def test_loop_goes_on_while_the_disk_takes_its_time(
    gated: AsyncTrackerApi, gate: Gate, name: str
) -> None:
    """Each record waits until the loop itself lets it pass, which it does."""

    async def main() -> None:
        job = gated.job("one")
        gate.shut()
        await pass_each(gate, asyncio.ensure_future(wrapped(OPERATIONS[name](job))))
        gate.open()
        await gated.close()

    asyncio.run(main())

    assert not gate.is_stuck


async def wrapped(awaitable: Awaitable[object]) -> object:
    """Make a coroutine of what can be awaited."""
    return await awaitable


def test_decorated_coroutines_of_a_script_leave_the_disk_to_a_thread(
    gated_sync: TrackerApi, gate: Gate, config: JobConfig, outbox: Path
) -> None:
    """A TrackerApi that decorates coroutine functions does not hold up their loop."""

    @step("load")
    async def load() -> None:
        await asyncio.sleep(0)

    @step("segment")
    async def segment() -> AsyncIterator[int]:
        yield 1

    @gated_sync.job(config.tag, provider_job_id="one", customer_id=142)
    async def pipeline() -> None:
        await load()
        async for _ in segment():
            pass
        async for _ in current_job().track([1], step="report"):
            pass

    async def main() -> None:
        gate.shut()
        await pass_each(gate, asyncio.create_task(pipeline()))
        gate.open()

    asyncio.run(main())

    assert not gate.is_stuck
    assert story(outbox) == [
        *("start", "start load", "step load", "start segment", "step segment"),
        *("start report", "step report", "complete"),
    ]


async def run_pipeline(tracker: AsyncTrackerApi) -> None:
    """Report a whole job."""
    async with tracker.run_job("one", 142, "tag") as job:
        async with job.step("load", total=100) as load:
            async for _ in load.track(range(100)):
                await load.note("words")


@pytest.mark.parametrize("server", ["down", "silent"])
@pytest.mark.parametrize("fsync", [False, True])
def test_loop_goes_on_while_the_backend_does_not_answer(
    outbox: Path, server: str, *, fsync: bool
) -> None:
    """Creating a job takes 3 s without an answer, and closing 2 s; the loop runs."""
    ended = threading.Event()
    silence = answering(silent(ended)) if server == "silent" else nullcontext()

    async def main(url: str) -> float:
        tracker = AsyncTrackerApi("key", url, outbox=outbox, fsync=fsync)
        async with ticking() as lag:
            async with tracker:
                await run_pipeline(tracker)
            assert lag.tick_count
            return lag.worst_seconds

    with silence as running:
        try:
            worst = asyncio.run(main(running.url if running else NOWHERE))
        finally:
            ended.set()

    assert worst < SLACK_SECONDS
    assert story(outbox)[-2:] == ["step load", "complete"]


def test_question_without_an_answer_ends_with_its_task(outbox: Path) -> None:
    """A timeout around a question is kept; the loop does not wait for its thread."""
    ended = threading.Event()
    with answering(silent(ended)) as server:
        tracker = AsyncTrackerApi("key", server.url, outbox=outbox)

        async def main() -> float:
            async with ticking() as lag:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(tracker.verify_api_key(), 0.1)
                return lag.worst_seconds

        try:
            worst = asyncio.run(asyncio.wait_for(main(), PATIENCE_SECONDS))
        finally:
            ended.set()

    assert worst < SLACK_SECONDS


def test_question_to_nobody_raises_what_went_wrong(outbox: Path) -> None:
    """Questions raise as in a script."""
    tracker = AsyncTrackerApi("key", NOWHERE, outbox=outbox, timeout_seconds=0.1)

    async def main() -> None:
        with pytest.raises(BackendUnavailable):
            await tracker.get_job("one")
        with pytest.raises(BackendUnavailable):
            async for _ in tracker.list_jobs():
                pass

    asyncio.run(main())


def test_reports_load_no_module_in_the_loop(outbox: Path) -> None:
    """What has to be loaded comes with the import, or is loaded by a thread."""
    script = f"""
import asyncio, sys, threading
from trackerapi import AsyncTrackerApi

class Watch:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is threading.main_thread():
            print(name)

async def main():
    sys.meta_path.insert(0, Watch())
    async with AsyncTrackerApi("key", "{NOWHERE}", outbox="{outbox}") as tracker:
        async with tracker.run_job("one", 142, "tag") as job:
            async with job.step("load", total=3) as load:
                async for _ in load.track([1]):
                    await load.note("words")
                tracker.admin
            try:
                async with job.step("segment"):
                    raise ValueError
            except ValueError:
                pass

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )

    assert done.stdout == ""
