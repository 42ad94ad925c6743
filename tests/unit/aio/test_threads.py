"""Worker threads of an event loop: their exceptions, and hosts without threads."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.event_loops import PATIENCE_SECONDS
from tests.support.recorded_jobs import kinds_and_steps
from trackerapi import AsyncTrackerApi, Event, JobConfig, current_step, step


class Ended(StopIteration):
    """Subclass of StopIteration that an author defines."""


def test_exhausted_id_function_raises_runtime_error(
    recorder: AsyncTrackerApi, config: JobConfig, outbox: Path
) -> None:
    """The RuntimeError has the StopIteration of the id function as its cause."""
    ids = iter(["one"])

    @recorder.job(config.tag, provider_job_id=lambda: next(ids), customer_id=142)
    async def pipeline() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        await pipeline()
        with pytest.raises(RuntimeError, match="raised StopIteration") as caught:
            await pipeline()
        assert isinstance(caught.value.__cause__, StopIteration)

    asyncio.run(asyncio.wait_for(main(), PATIENCE_SECONDS))

    assert kinds_and_steps(outbox) == ["start", "complete"]


@pytest.mark.parametrize("error", [StopIteration("x"), Ended("x")])
@pytest.mark.parametrize("argument", ["provider_job_id", "customer_id"])
@pytest.mark.parametrize("is_generator", [False, True])
def test_stop_iteration_of_an_argument_raises_runtime_error(
    recorder: AsyncTrackerApi,
    config: JobConfig,
    error: StopIteration,
    argument: str,
    is_generator: bool,
) -> None:
    """StopIteration becomes RuntimeError: a future with StopIteration never ends."""

    def value(*_: object) -> str:
        raise error

    given: dict[str, Any] = {"provider_job_id": "one", "customer_id": 142}
    decorate = recorder.job(config.tag, **{**given, argument: value})

    @decorate
    async def pipeline() -> None:
        """Do nothing."""

    @decorate
    async def items() -> AsyncIterator[int]:
        yield 1

    async def main() -> None:
        with pytest.raises(RuntimeError, match="raised StopIteration"):
            await (anext(aiter(items())) if is_generator else pipeline())

    asyncio.run(asyncio.wait_for(main(), PATIENCE_SECONDS))


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), ValueError("x")]
)
def test_exception_of_a_thread_is_raised_by_the_await(
    recorder: AsyncTrackerApi, config: JobConfig, error: BaseException
) -> None:
    """`await` raises the exception of an id function that ran in a thread."""

    def provider_job_id() -> str:
        raise error

    @recorder.job(config.tag, provider_job_id=provider_job_id, customer_id=142)
    async def pipeline() -> None:
        """Do nothing."""

    with pytest.raises(type(error)):
        asyncio.run(pipeline())


def test_events_are_recorded_where_no_thread_can_be_started(
    config: JobConfig, outbox: Path, no_threads: Callable[[], None]
) -> None:
    """Without threads, blocks, loops and decorators still record all events."""
    tracker = AsyncTrackerApi("key", "http://127.0.0.1:9", outbox=outbox)

    @tracker.job(config.tag, provider_job_id="two", customer_id=142)
    async def pipeline() -> str:
        async with step("load"):
            await asyncio.sleep(0)
            current_step().advance(2)
        return "done"

    async def main() -> str:
        async with tracker:
            async with tracker.run_job("one", 142, config.tag) as job:
                async for _ in job.track([1, 2], step="load"):
                    pass
            return await pipeline()

    no_threads()
    assert asyncio.run(main()) == "done"
    assert (
        kinds_and_steps(outbox) == ["start", "start load", "step load", "complete"] * 2
    )


def test_later_report_is_written_after_a_filter_exits(
    config: JobConfig, outbox: Path
) -> None:
    """`sys.exit()` in `before_send` raises at the `await`; a later note is written."""

    def before_send(event: Event) -> Event:
        if event.message == "leave":
            raise SystemExit(3)
        return event

    tracker = AsyncTrackerApi(
        "key",
        "http://127.0.0.1:9",
        mode="offline",
        outbox=outbox,
        before_send=before_send,
    )

    async def main(text: str) -> None:
        job = await tracker.create_job("one", 142, config.tag)
        await job.note(text)

    with pytest.raises(SystemExit):
        asyncio.run(main("leave"))
    asyncio.run(asyncio.wait_for(main("stay"), PATIENCE_SECONDS))

    assert kinds_and_steps(outbox) == ["info"]
