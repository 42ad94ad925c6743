"""Events that `AsyncTrackerApi` records for blocks, loops and single reports."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.event_loops import PATIENCE_SECONDS, Gate
from tests.support.recorded_jobs import kinds_and_steps, progress, recorded
from tests.support.scripted_server import NOWHERE
from trackerapi import (
    AsyncTrackerApi,
    AsyncTrackerJob,
    JobConfig,
    OutboxError,
    TrackerApi,
    TrackerJob,
    TrackerStep,
    UnknownStepError,
    current_job,
    current_step,
    step,
)


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    """Yield each chunk after one pass of the event loop."""
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


class UsageError(Exception):
    """Error of a job script, unknown to the library."""


def test_blocks_loops_and_reports_record_their_events(
    recorder: AsyncTrackerApi, config: JobConfig, outbox: Path
) -> None:
    """Blocks, loops and single reports record their events in order of execution."""

    async def main() -> list[bytes]:
        async with recorder as tracker:
            async with tracker.run_job("one", 142, config.tag) as job:
                async with job.step("load", total=5) as load:
                    await load.advance(2)
                    await load.detail("fetched", host="a")
                    load.metadata["Images"] = 5
                chunks = stream(b"ab", b"c")
                tracked = job.track(chunks, step="segment", total=3, weight=len)
                got = [chunk async for chunk in tracked]
                await job.skip("report", reason="Nothing was found.")
        return got

    assert asyncio.run(main()) == [b"ab", b"c"]
    assert kinds_and_steps(outbox) == [
        "start",
        "start load",
        "info load",
        "step load",
        "start segment",
        "step segment",
        "skip report",
        "complete",
    ]
    assert progress(outbox, "load")[-1] == (2, 5)
    assert progress(outbox, "segment")[-1] == (3, 3)
    done = next(event for event in recorded(outbox) if event["kind"] == "step")
    assert done["event_metadata"] == {"Images": 5}


def test_created_handle_is_awaitable_and_a_block(
    recorder: AsyncTrackerApi, config: JobConfig, outbox: Path
) -> None:
    """`await create_job()` returns a handle; `async with` on it completes the job."""

    async def main() -> None:
        job = await recorder.create_job("one", 142, config.tag, finish="explicit")
        assert isinstance(job, AsyncTrackerJob)
        assert job.step("load") is job.step("Load")
        assert job.step("load").job is job
        assert list(job.steps) == ["load", "segment", "report"]
        assert job.steps["load"] is job.step("load")
        with pytest.raises(UnknownStepError):
            job.steps["lod"]
        async with job:
            assert await job.send_event(kind="info", message="words")
        opening = recorder.run_job("two", 142, config.tag)
        assert await opening is await opening

    asyncio.run(main())

    assert kinds_and_steps(outbox) == ["start", "info", "complete"]


def test_steps_are_ready_after_their_predecessors(
    recorder: AsyncTrackerApi, config: JobConfig
) -> None:
    """A step is ready as soon as its predecessor is reported done."""

    async def main() -> None:
        job = await recorder.run_job("one", 142, config.tag)
        assert job.is_ready("load")
        assert not job.steps["segment"].is_ready
        await job.step("load").done()
        assert job.steps["segment"].is_ready

    asyncio.run(main())


def test_each_reporting_method_records_its_event(
    recorder: AsyncTrackerApi, config: JobConfig, outbox: Path
) -> None:
    """Each reporting method records its event kind, step tag and message."""

    async def main() -> None:
        job = await recorder.create_job("one", 142, config.tag)
        load, segment = job.step("load", on_failure="No images."), job.step("segment")
        await load.start()
        await load.note("words")
        await load.item_failed("scan 1", customer="One scan is empty.")
        await load.fail(error=UsageError("x"))
        await load.skip("Not needed.")
        await segment.done("All found.")
        await job.note("words")
        await job.detail("words", host="a")
        await job.send_event("info", "load", {"Number": 7})
        await job.fail("Sorry.")
        await job.interrupt("Moved.")
        await job.cancel("Stopped.")
        await job.complete("Done.")
        assert load.status == "skipped"
        assert segment.status == "done"

    asyncio.run(main())

    assert [
        (event["kind"], event.get("tag"), event.get("message"))
        for event in recorded(outbox)
    ] == [
        ("start", "load", None),
        ("info", "load", "words"),
        ("info", "load", "One scan is empty."),
        ("progress", "load", None),
        ("error", "load", "No images."),
        ("skip", "load", "Not needed."),
        ("step", "segment", "All found."),
        ("info", None, "words"),
        ("info", None, None),
        ("info", "load", None),
        ("error", None, "Sorry."),
        ("interrupt", None, "Moved."),
        ("cancel", None, "Stopped."),
        ("complete", None, "Done."),
    ]


def test_exception_fails_step_and_job_and_propagates_unchanged(
    recorder: AsyncTrackerApi, config: JobConfig, outbox: Path
) -> None:
    """Step and job fail, and the caller catches the same, unchanged exception."""
    mistake = UsageError("no liver")

    async def main() -> None:
        async with recorder.run_job("one", 142, config.tag) as job:
            async with job.step("load"):
                raise mistake

    with pytest.raises(UsageError) as caught:
        asyncio.run(main())

    assert caught.value is mistake
    assert (mistake.__cause__, mistake.__context__) == (None, None)
    assert kinds_and_steps(outbox) == ["start", "start load", "error load", "error"]
    assert "no liver" in recorded(outbox)[2]["detail"]


def test_records_have_the_order_of_the_calls(
    recorder: AsyncTrackerApi, outbox: Path
) -> None:
    """Records have the order of the calls, within one task and across tasks."""

    async def main() -> None:
        job = recorder.job("one")
        for number in range(50):
            await job.note(f"{number}")
        await asyncio.gather(*(job.note(f"{50 + number}") for number in range(50)))
        async with asyncio.TaskGroup() as group:
            for number in range(50):
                group.create_task(job.note(f"{100 + number}"))

    asyncio.run(main())

    messages = [event["message"] for event in recorded(outbox)]
    assert messages == [str(number) for number in range(150)]


def test_progress_is_written_before_the_next_event_of_its_step(
    recorder: AsyncTrackerApi, outbox: Path
) -> None:
    """An assigned count is in the outbox before the event that is awaited after it."""

    async def main() -> None:
        for number in range(20):
            load = recorder.job("one").step(f"load-{number}")
            await load.start()
            load.total = 4
            assert load.total == 4
            await load.advance(3)
            load.fraction = 0.75
            await load.done()

    asyncio.run(main())

    for number in range(20):
        tag = f"load-{number}"
        kinds = [e["kind"] for e in recorded(outbox) if e.get("tag") == tag]
        assert (kinds[0], kinds[-1]) == ("start", "step")
        assert progress(outbox, tag)[-1] == (3, 4)


def test_assigned_total_is_written_without_a_later_report(
    gated: AsyncTrackerApi, gate: Gate
) -> None:
    """Assigning `total` writes a record without any later report."""

    async def main() -> bool:
        load = gated.job("one").step("load")
        await load.start()
        gate.shut()
        load.total = 4
        arrived = await asyncio.to_thread(gate.arrived.wait, PATIENCE_SECONDS)
        gate.open()
        return arrived

    assert asyncio.run(main())


def test_invalid_argument_raises_at_the_call(recorder: AsyncTrackerApi) -> None:
    """An invalid argument raises at the call; the error names the argument."""

    async def main() -> None:
        job = recorder.job("one")
        with pytest.raises(TypeError, match="total must be a number"):
            job.step("load").total = "x"  # type: ignore[assignment]
        with pytest.raises(ValueError, match="units must be"):
            await job.step("load").advance(-1)
        with pytest.raises(TypeError, match="text must be text"):
            await job.step("load").note(3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="unexpected keyword argument 'totl'"):
            job.step("load").track([1], totl=3)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="customer_id must be a whole number"):
            await recorder.create_job("one", "142", "tag")  # type: ignore[arg-type]

    asyncio.run(main())


def test_strict_report_raises_after_a_failed_write(tmp_path: Path) -> None:
    """With `strict`, a failed write raises OutboxError from reports and blocks."""
    (tmp_path / "file").touch()
    tracker = AsyncTrackerApi("key", NOWHERE, strict=True, outbox=tmp_path / "file/box")

    async def main() -> None:
        job = tracker.job("one")
        with pytest.raises(OutboxError, match="cannot be written"):
            await job.note("words")
        with pytest.raises(OutboxError):
            async with job.step("load"):
                pass
        with pytest.raises(OutboxError):
            await tracker.create_job("two", 142, "tag")
        await tracker.close()

    asyncio.run(main())


def test_failed_attempts_are_reported_and_the_last_exception_raises(
    recorder: AsyncTrackerApi, config: JobConfig, outbox: Path
) -> None:
    """Each failed attempt records an error; the last attempt raises its exception."""

    async def main() -> int:
        count = 0
        async with recorder.run_job("one", 142, config.tag) as job:
            async with job.step("load") as load:
                async for attempt in load.attempts(3, on=OSError, wait_seconds=0):
                    async with attempt:
                        count += 1
                        if count < 3:
                            raise OSError("busy")
            async with job.step("segment") as segment:
                async for attempt in segment.attempts(2, on=OSError, wait_seconds=0):
                    async with attempt:
                        raise OSError("gone")
        return count

    with pytest.raises(OSError, match="gone"):
        asyncio.run(main())

    assert kinds_and_steps(outbox) == [
        *("start", "start load", "error load", "start load", "error load"),
        *("start load", "step load", "start segment", "error segment"),
        *("start segment", "error segment", "error"),
    ]
    assert [event.get("retrying") for event in recorded(outbox)][2] is True


def test_step_of_a_loop_left_by_break_ends_with_its_job(
    recorder: AsyncTrackerApi, config: JobConfig, outbox: Path
) -> None:
    """The step of a loop left by `break` is completed when the job's block ends."""

    async def main() -> None:
        async with recorder.run_job("one", 142, config.tag) as job:
            async for _ in job.track(stream(b"a", b"b"), step="load"):
                assert current_step().tag == "load"
                break
            async with job.step("segment"):
                assert current_step().tag == "segment"

    asyncio.run(main())

    assert kinds_and_steps(outbox)[2:] == [
        "start segment",
        "step segment",
        "step load",
        "complete",
    ]


def test_task_inherits_current_job_and_step(
    recorder: AsyncTrackerApi, config: JobConfig
) -> None:
    """A task inherits job and step; blocks that begin later change no other task."""

    async def found() -> tuple[str, str]:
        await asyncio.sleep(0)
        return current_job().provider_job_id, current_step().tag

    async def one(name: str) -> list[tuple[str, str]]:
        async with recorder.run_job(name, 142, config.tag) as job:
            async with job.step("load"):
                task = asyncio.create_task(found())
            async with job.step("segment"):
                in_thread = await asyncio.to_thread(lambda: current_step().tag)
                return [await task, await found(), (name, in_thread)]

    async def main() -> None:
        names = [f"job-{number}" for number in range(20)]
        for name, places in zip(
            names, await asyncio.gather(*map(one, names)), strict=True
        ):
            assert places == [(name, "load"), (name, "segment"), (name, "segment")]
        assert await found() == ("none", "none")

    asyncio.run(main())


def test_current_handles_in_a_coroutine_are_synchronous(
    recorder: AsyncTrackerApi, config: JobConfig, outbox: Path
) -> None:
    """`current_job()` and `current_step()` return sync handles in `async` blocks."""

    def work() -> None:
        assert isinstance(current_job(), TrackerJob)
        assert isinstance(current_step(), TrackerStep)
        current_step().total = 3
        current_step().advance(3)
        current_step().note("words")

    async def main() -> None:
        async with recorder.run_job("one", 142, config.tag) as job:
            async with job.step("load"):
                work()
                assert [e["kind"] for e in recorded(outbox)][-1] == "info"

    asyncio.run(main())

    assert progress(outbox, "load")[-1] == (3, 3)


def test_steps_of_a_decorated_coroutine_belong_to_its_job(
    recorder: AsyncTrackerApi, config: JobConfig, outbox: Path
) -> None:
    """`@step` and `async with step()` report on the job of the decorated coroutine."""

    @step("segment")
    async def segment() -> None:
        current_step().note("words")

    @recorder.job(config.tag, provider_job_id=lambda study: study, customer_id=142)
    async def pipeline(study: str) -> str:
        async with step("load", total=2) as load:
            assert current_step() is load
            load.advance()
        await segment()
        return study

    assert asyncio.run(pipeline("one")) == "one"
    assert kinds_and_steps(outbox) == [
        *("start", "start load", "step load"),
        *("start segment", "info segment", "step segment", "complete"),
    ]


def test_sync_report_works_while_asyncio_is_partly_imported(
    monkeypatch: pytest.MonkeyPatch, outbox: Path, config: JobConfig
) -> None:
    """Sync reports work while another thread has imported only a part of asyncio."""
    monkeypatch.setitem(sys.modules, "asyncio", ModuleType("asyncio"))
    script = TrackerApi("key", NOWHERE, mode="offline", outbox=outbox)

    with pytest.raises(UsageError), script.run_job("one", 142, config.tag) as job:
        with job.step("load", total=2) as load:
            load.advance()
            raise UsageError

    assert kinds_and_steps(outbox) == ["start", "start load", "error load", "error"]


def test_tracker_records_reports_of_several_loops(
    recorder: AsyncTrackerApi, outbox: Path
) -> None:
    """One tracker records reports of successive loops and of loops in four threads."""
    job = recorder.job("one")

    async def main(text: str) -> None:
        async with job.step("load"):
            await job.note(text)
        await recorder.close()

    asyncio.run(main("first"))
    asyncio.run(main("second"))
    threads = [
        threading.Thread(target=asyncio.run, args=(main(f"thread {number}"),))
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    messages = {event.get("message") for event in recorded(outbox)} - {None}
    assert messages == {"first", "second", *(f"thread {n}" for n in range(4))}


def test_mode_off_writes_nothing_in_an_event_loop(tmp_path: Path) -> None:
    """With mode `off`, blocks and loops run their code, and no outbox is created."""
    tracker = AsyncTrackerApi("key", NOWHERE, mode="off", outbox=tmp_path / "outbox")

    async def main() -> list[int]:
        async with tracker, tracker.run_job("one", 142, "tag") as job:
            async with job.step("load", total=3) as load:
                await load.advance()
                return [item async for item in load.track([1, 2])]

    assert asyncio.run(main()) == [1, 2]
    assert not (tmp_path / "outbox").exists()


def test_sync_handle_tracks_an_async_loop(
    recorder: AsyncTrackerApi, outbox: Path, config: JobConfig
) -> None:
    """`async for` over `track()` of a sync handle reports the step and its progress."""
    script = TrackerApi("key", NOWHERE, mode="offline", outbox=outbox)

    async def main() -> None:
        with script.run_job("one", 142, config.tag) as job:
            async for _ in job.track(stream(b"a", b"b"), step="load"):
                assert current_step().tag == "load"
            assert current_step().tag == "none"

    asyncio.run(main())

    assert kinds_and_steps(outbox) == ["start", "start load", "step load", "complete"]
    assert progress(outbox, "load")[-1] == (2, None)
