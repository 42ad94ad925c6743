"""Event loop that keeps running while the outbox or the backend is slow."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.event_loops import (
    PATIENCE_SECONDS,
    Gate,
)
from tests.support.recorded_jobs import kinds_and_steps
from tests.support.scripted_server import NOWHERE, Request, answering, silent
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
    """Enter and leave the block of a step."""
    async with job.step("load"):
        pass


async def fail_step(job: AsyncTrackerJob) -> None:
    """Leave the block of a step by an exception."""
    with pytest.raises(ValueError, match="x"):
        async with job.step("load"):
            raise ValueError("x")


async def loop_over(job: AsyncTrackerJob) -> None:
    """Track a loop of two items as a step."""
    async for _ in job.track([1, 2], step="load"):
        pass


async def set_total(job: AsyncTrackerJob) -> None:
    """Assign total and fraction of a step, add one unit, and complete the step."""
    load = job.step("load", total=3)
    load.total = 4
    load.fraction = 0.5
    await load.advance()
    await load.done()


async def attempt(job: AsyncTrackerJob) -> None:
    """Run two attempts of a step; the first attempt fails."""
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
    """Let one event at a time pass the gate, from the loop, until `task` ends."""
    while not task.done():
        if gate.arrived.is_set():
            gate.pass_one()
        await asyncio.sleep(0)
    await task


@pytest.mark.parametrize("name", OPERATIONS)
def test_loop_runs_while_the_disk_is_slow(
    gated: AsyncTrackerApi, gate: Gate, name: str
) -> None:
    """The loop runs while an event is written: the loop itself opens the gate."""

    async def main() -> None:
        job = gated.job("one")
        gate.shut()
        await pass_each(
            gate, asyncio.ensure_future(await_result(OPERATIONS[name](job)))
        )
        gate.open()
        await gated.close()

    asyncio.run(main())

    assert not gate.is_stuck


async def await_result(awaitable: Awaitable[object]) -> object:
    """Return the result of any awaitable, so that a task can run it."""
    return await awaitable


def test_coroutine_decorated_by_a_sync_tracker_does_not_block_its_loop(
    gated_sync: TrackerApi, gate: Gate, config: JobConfig, outbox: Path
) -> None:
    """Coroutines decorated by a sync `TrackerApi` do not block their event loop."""

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
    assert kinds_and_steps(outbox) == [
        *("start", "start load", "step load", "start segment", "step segment"),
        *("start report", "step report", "complete"),
    ]


async def run_pipeline(
    tracker: AsyncTrackerApi, begun: Callable[[], None] = lambda: None
) -> None:
    """Run a job with 100 notes; call `begun` once the job is created."""
    async with tracker.run_job("one", 142, "tag") as job:
        begun()
        async with job.step("load", total=100) as load:
            async for _ in load.track(range(100)):
                await load.note("words")


class SilentBackend:
    """Backend that delays its answers, and checks that the loop runs during the delay.

    Attributes:
        stage: Current phase of the script; assigned by the script.
        stages_with_a_running_loop: Phases in which a request was held while the loop
            ran 20 callbacks one after another.
    """

    def __init__(self) -> None:
        self.stage = "begun"
        self.stages_with_a_running_loop: set[str] = set()
        self._ended = threading.Event()
        self._held_count = 0

    async def script(self, run: Callable[[], Awaitable[None]]) -> None:
        """Run a script that uses the backend; release the requests at its end."""
        self._loop = asyncio.get_running_loop()
        try:
            await run()
        finally:
            self._ended.set()
            while self._held_count:
                await asyncio.sleep(0.01)

    def job_is_created(self) -> None:
        """Set the phase `working`."""
        self.stage = "working"

    def __call__(self, _: Request) -> bytes:
        """Hold a request until the script has ended."""
        self._held_count += 1
        while not self._ended.wait(0.01):
            stage = self.stage
            for _ in range(20):
                call = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self._loop)
                call.result(PATIENCE_SECONDS)
            if self.stage == stage:
                self.stages_with_a_running_loop.add(stage)
        self._held_count -= 1
        return b""


@pytest.mark.parametrize("fsync", [False, True])
def test_loop_runs_while_a_job_is_created(outbox: Path, *, fsync: bool) -> None:
    """The loop runs callbacks while `run_job()` waits for a silent backend."""
    backend = SilentBackend()
    with answering(backend) as server:
        made = AsyncTrackerApi("key", server.url, outbox=outbox, fsync=fsync)

        async def script() -> None:
            async with made as tracker:
                backend.stage = "creating"
                await run_pipeline(tracker, begun=backend.job_is_created)

        asyncio.run(backend.script(script))

    assert "creating" in backend.stages_with_a_running_loop
    assert kinds_and_steps(outbox)[-2:] == ["step load", "complete"]


def test_loop_runs_while_a_tracker_closes(outbox: Path) -> None:
    """The loop runs callbacks while `close()` waits for a silent backend."""
    backend = SilentBackend()
    with answering(backend) as server:
        made = AsyncTrackerApi("key", server.url, outbox=outbox)

        async def script() -> None:
            async with made as tracker:
                await tracker.job("one").send_event(kind="info")
                backend.stage = "closing"
            backend.stage = "closed"

        asyncio.run(backend.script(script))

    assert "closing" in backend.stages_with_a_running_loop


@pytest.mark.parametrize("fsync", [False, True])
def test_async_job_records_all_events_while_the_backend_is_down(
    outbox: Path, *, fsync: bool
) -> None:
    """All events are recorded although no server listens at the address."""

    async def main() -> None:
        async with AsyncTrackerApi("key", NOWHERE, outbox=outbox, fsync=fsync) as made:
            await run_pipeline(made)

    asyncio.run(asyncio.wait_for(main(), PATIENCE_SECONDS))

    assert kinds_and_steps(outbox)[-2:] == ["step load", "complete"]


def test_read_call_without_an_answer_ends_at_its_timeout(outbox: Path) -> None:
    """A timeout ends a read call while its thread still waits for the answer."""
    ended = threading.Event()
    with answering(silent(ended)) as server:
        tracker = AsyncTrackerApi("key", server.url, outbox=outbox)

        async def main() -> bool:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(tracker.verify_api_key(), 0.1)
            return ended.is_set()

        # Release the server after PATIENCE_SECONDS: a read call that ignores its
        # timeout would block this test for ever.
        watchdog = threading.Timer(PATIENCE_SECONDS, ended.set)
        watchdog.start()
        try:
            was_answered = asyncio.run(main())
        finally:
            watchdog.cancel()
            ended.set()

    assert not was_answered


def test_read_call_of_an_unreachable_backend_raises(outbox: Path) -> None:
    """`get_job()` and `list_jobs()` raise BackendUnavailable if no server listens."""
    tracker = AsyncTrackerApi("key", NOWHERE, outbox=outbox, timeout_seconds=0.1)

    async def main() -> None:
        with pytest.raises(BackendUnavailable):
            await tracker.get_job("one")
        with pytest.raises(BackendUnavailable):
            async for _ in tracker.list_jobs():
                pass

    asyncio.run(main())
