"""Cancelled tasks: their jobs are cancelled, and no report is lost."""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from tests.support.event_loops import PATIENCE_SECONDS, Gate
from tests.support.recorded_jobs import kinds_and_steps, recorded
from tests.support.scripted_server import answering, silent
from trackerapi import AsyncTrackerApi, AsyncTrackerJob, JobConfig, current_step, step

BEGUN: Final = ["start", "start load"]
CANCELLED: Final = [*BEGUN, "cancel"]


async def for_ever() -> None:
    """Wait until the task is cancelled."""
    await asyncio.get_running_loop().create_future()


def test_cancelled_task_cancels_its_job(
    recorder: AsyncTrackerApi, config: JobConfig, outbox: Path
) -> None:
    """A cancelled task records `cancel` for its job, and CancelledError propagates."""

    async def main() -> None:
        has_begun = asyncio.Event()

        async def pipeline() -> None:
            async with recorder.run_job("one", 142, config.tag) as job:
                async with job.step("load"):
                    has_begun.set()
                    await for_ever()

        task = asyncio.create_task(pipeline())
        await has_begun.wait()
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task

    asyncio.run(main())

    assert kinds_and_steps(outbox) == CANCELLED


def test_timeout_around_a_job_cancels_it(
    recorder: AsyncTrackerApi, config: JobConfig, outbox: Path
) -> None:
    """`asyncio.timeout()` around the block cancels the job and raises TimeoutError."""

    async def main() -> None:
        async with asyncio.timeout(None) as limit:
            async with recorder.run_job("one", 142, config.tag) as job:
                async with job.step("load"):
                    limit.reschedule(0)
                    await for_ever()

    with pytest.raises(TimeoutError):
        asyncio.run(main())

    assert kinds_and_steps(outbox) == CANCELLED


def test_timeout_within_a_job_fails_the_step_that_it_leaves(
    recorder: AsyncTrackerApi, config: JobConfig, outbox: Path
) -> None:
    """A TimeoutError raised inside the block of a job fails step and job."""

    async def main() -> None:
        async with recorder.run_job("one", 142, config.tag) as job:
            async with job.step("load"):
                async with asyncio.timeout(0):
                    await for_ever()

    with pytest.raises(TimeoutError):
        asyncio.run(main())

    assert kinds_and_steps(outbox) == [*BEGUN, "error load", "error"]


def test_task_group_fails_one_job_and_cancels_the_others(
    recorder: AsyncTrackerApi, config: JobConfig, outbox: Path
) -> None:
    """The job of the failing task fails; jobs of the cancelled tasks are cancelled."""

    async def one(name: str, work: Callable[[], Awaitable[None]]) -> None:
        async with recorder.run_job(name, 142, config.tag):
            await work()

    async def main() -> None:
        others_run = asyncio.Barrier(3)

        async def wait() -> None:
            await others_run.wait()
            await for_ever()

        async def fail() -> None:
            await others_run.wait()
            raise ValueError("x")

        async with asyncio.TaskGroup() as group:
            group.create_task(one("first", wait))
            group.create_task(one("second", wait))
            group.create_task(one("third", fail))

    with pytest.raises(ExceptionGroup):
        asyncio.run(main())

    ends = {event["provider_job_id"]: event["kind"] for event in recorded(outbox)}
    assert ends == {"first": "cancel", "second": "cancel", "third": "error"}


def test_interrupted_main_task_cancels_its_job(
    recorder: AsyncTrackerApi, config: JobConfig, outbox: Path
) -> None:
    """SIGINT cancels the job, and `asyncio.run()` raises KeyboardInterrupt."""

    async def main() -> None:
        async with recorder.run_job("one", 142, config.tag) as job:
            async with job.step("load"):
                signal.raise_signal(signal.SIGINT)
                await for_ever()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())

    assert kinds_and_steps(outbox) == CANCELLED


@pytest.mark.parametrize("report", ["note", "step", "exit", "end"])
def test_event_being_written_at_the_cancellation_is_recorded(
    gated: AsyncTrackerApi, gate: Gate, outbox: Path, config: JobConfig, report: str
) -> None:
    """An event whose writing has begun before the cancellation is recorded."""

    async def work(job: AsyncTrackerJob) -> None:
        if report == "note":
            gate.shut()
            await job.note("words")
        async with job:
            if report == "step":
                gate.shut()
            async with job.step("load"):
                if report == "exit":
                    gate.shut()
            gate.shut()

    async def main() -> None:
        task = asyncio.create_task(work(await gated.run_job("one", 142, config.tag)))
        await asyncio.to_thread(gate.arrived.wait, PATIENCE_SECONDS)
        task.cancel()
        asyncio.get_running_loop().call_soon(gate.open)
        with pytest.raises(asyncio.CancelledError):
            await task
        await gated.close()

    asyncio.run(main())

    assert not gate.is_stuck
    assert (
        kinds_and_steps(outbox)
        == {
            "note": ["info"],
            "step": CANCELLED,
            "exit": ["start", "start load", "step load", "cancel"],
            "end": ["start", "start load", "step load", "complete"],
        }[report]
    )


@pytest.mark.parametrize("way", ["block", "decorator"])
def test_job_of_a_task_cancelled_during_its_creation_is_cancelled(
    outbox: Path, config: JobConfig, way: str
) -> None:
    """A task cancelled while the backend delays the creation records `cancel`."""
    ended = threading.Event()
    with answering(silent(ended)) as server:
        tracker = AsyncTrackerApi("key", server.url, outbox=outbox, shutdown_timeout=0)

        async def block() -> None:
            async with tracker.run_job("one", 142, config.tag):
                raise AssertionError("the job began without an answer")

        @tracker.as_job(config.tag, provider_job_id="one", customer_id=142)
        async def decorated() -> None:
            raise AssertionError("the job began without an answer")

        async def main() -> None:
            task = asyncio.create_task(block() if way == "block" else decorated())
            await asyncio.sleep(0)  # The task sends the creation.
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            ended.set()
            while "cancel" not in kinds_and_steps(outbox):
                await tracker.flush(0)
            await tracker.close()

        asyncio.run(asyncio.wait_for(main(), PATIENCE_SECONDS))

    assert kinds_and_steps(outbox) == ["cancel"]


def test_cancelled_coroutine_of_a_job_cancels_the_job(
    recorder: AsyncTrackerApi, config: JobConfig, outbox: Path
) -> None:
    """Cancelling a decorated coroutine records `cancel` for its job."""

    @step("load")
    async def load() -> None:
        current_step().total = 3
        await for_ever()

    @recorder.job(config.tag, provider_job_id="one", customer_id=142)
    async def pipeline() -> None:
        await load()

    async def main() -> None:
        task = asyncio.create_task(pipeline())
        while kinds_and_steps(outbox) != BEGUN:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    assert kinds_and_steps(outbox) == CANCELLED
