"""Current job, current step, and functions decorated as steps or jobs."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.support.recorded_jobs import kinds_and_steps, progress, recorded
from trackerapi import (
    BackendUnavailable,
    JobConfig,
    TrackerApi,
    TrackerJob,
    current_job,
    current_step,
    step,
)


@step("load")
def load(count: int) -> int:
    """Load some images."""
    current_step().total = count
    current_step().advance(count)
    return count


@step("segment", on_failure="No organ was found.")
async def segment(name: str) -> tuple[str, str]:
    """Find organs."""
    await asyncio.sleep(0)
    current_step().note(name)
    return name, current_job().provider_job_id


def test_outside_of_a_job_a_step_is_a_plain_function() -> None:
    """Without a job decorated functions run; reports do nothing; read calls raise."""
    assert load(3) == 3
    with step("load") as handle:
        handle.advance()
    assert list(current_step().track([1])) == [1]
    assert current_job().send_event(kind="step", name="load") == ""
    with pytest.raises(BackendUnavailable, match="no current job"):
        current_job().fetch()


def test_decorated_function_is_a_step_of_the_current_job(
    run: TrackerJob, outbox: Path
) -> None:
    """A decorated function reports its step, and keeps its name and its result."""
    with run:
        assert load(3) == 3
        with step("report") as report:
            assert current_step() is report
        assert current_job() is run

    assert load.__name__ == "load"
    assert kinds_and_steps(outbox)[1:-1] == [
        "start load",
        "step load",
        "start report",
        "step report",
    ]
    assert progress(outbox, "load")[-1] == (3, 3)


def test_current_step_ends_with_its_block(run: TrackerJob) -> None:
    """After a block or an abandoned loop, the current step is none."""
    with run as job:
        for _ in job.track([1, 2], step="load"):
            assert current_step().tag == "load"
            break
        with pytest.raises(ValueError, match="x"), job.step("segment"):
            raise ValueError("x")
        assert current_job() is run

    assert current_job() is not run
    assert current_step().tag == "none"


def test_coroutine_is_timed_to_its_end(run: TrackerJob, outbox: Path) -> None:
    """A decorated coroutine is a step until it returns."""

    async def main() -> None:
        with run:
            await segment("liver")

    asyncio.run(main())

    assert kinds_and_steps(outbox)[1:4] == [
        "start segment",
        "info segment",
        "step segment",
    ]


def test_tasks_of_one_loop_do_not_mix_their_jobs(
    recorder: TrackerApi, config: JobConfig
) -> None:
    """Each of 20 tasks in `asyncio.gather()` has its own job and step."""

    async def main() -> list[tuple[str, str]]:
        async def one(name: str) -> tuple[str, str]:
            with recorder.run_job(name, 142, config.tag):
                return await segment(name)

        return await asyncio.gather(*(one(f"job-{n}") for n in range(20)))

    assert all(name == job for name, job in asyncio.run(main()))


def test_threads_do_not_mix_their_jobs(recorder: TrackerApi, config: JobConfig) -> None:
    """Each thread has its own job while jobs of other threads are open."""
    meet = threading.Barrier(4)
    found: dict[str, str] = {}

    def work(name: str) -> None:
        with recorder.run_job(name, 142, config.tag):
            meet.wait()
            found[name] = current_job().provider_job_id
            meet.wait()

    threads = [threading.Thread(target=work, args=(f"job-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == {name: name for name in found}
    assert len(found) == 4


def test_bound_function_takes_its_job_into_threads(
    run: TrackerJob, outbox: Path
) -> None:
    """Threads of a pool report for the job that the function was bound to."""
    with run as job, job.step("load", total=10), ThreadPoolExecutor(3) as pool:

        def one(_: int) -> str:
            current_step().advance()
            return current_job().provider_job_id

        jobs = set(pool.map(job.bind(one), range(10)))
        assert set(pool.map(one, range(2))) == {"none"}

    assert jobs == {run.provider_job_id}
    assert progress(outbox, "load")[-1] == (10, 10)


def test_generator_is_a_step_until_its_real_end(run: TrackerJob, outbox: Path) -> None:
    """The step ends when the generator ends; code of the caller is not in the step."""

    @step("load")
    def scans(count: int) -> Generator[str, int, str]:
        got = 0
        for number in range(count):
            assert current_step().tag == "load"
            got += yield f"scan {number}"
        return f"{got}"

    with run as job:
        generator = scans(2)
        assert next(generator) == "scan 0"
        assert current_job() is job
        with job.step("segment"):
            assert generator.send(20) == "scan 1"
            assert current_step().tag == "segment"
        with pytest.raises(StopIteration) as end:
            generator.send(22)
        assert end.value.value == "42"

    assert kinds_and_steps(outbox)[1:-1] == [
        "start load",
        "start segment",
        "step segment",
        "step load",
    ]


def test_generator_gets_exceptions_of_its_caller(run: TrackerJob, outbox: Path) -> None:
    """`throw()` and `close()` reach the decorated generator; then its step is done."""

    @step("load")
    def scans() -> Generator[int]:
        try:
            yield 1
        except KeyError:
            yield 2
        yield 3

    with run:
        generator = scans()
        next(generator)
        assert generator.throw(KeyError("x")) == 2
        generator.close()

    assert kinds_and_steps(outbox)[1:3] == ["start load", "step load"]


def test_async_generator_is_a_step_until_its_real_end(
    run: TrackerJob, outbox: Path
) -> None:
    """The step of an async generator is done when the generator ends."""

    @step("load")
    async def scans() -> AsyncIterator[int]:
        for number in range(2):
            await asyncio.sleep(0)
            yield number

    async def main() -> list[int]:
        with run as job:
            found = []
            async for number in scans():
                assert current_step().tag == "none"
                assert current_job() is job
                found.append(number)
            return found

    assert asyncio.run(main()) == [0, 1]
    assert kinds_and_steps(outbox)[1:3] == ["start load", "step load"]


def test_async_generator_gets_sent_values_and_exceptions(
    run: TrackerJob, outbox: Path
) -> None:
    """`asend()` and `athrow()` reach the decorated generator, in its step."""

    @step("load")
    async def scans() -> AsyncGenerator[object, object]:
        sent = yield "first"
        try:
            yield (sent, current_step().tag)
        except KeyError:
            yield ("caught", current_step().tag)

    async def main() -> list[object]:
        with run:
            generator = scans()
            found = [await anext(generator), await generator.asend("sent")]
            found.append(await generator.athrow(KeyError("x")))
            assert current_step().tag == "none"
            await generator.aclose()
            return found

    assert asyncio.run(main()) == ["first", ("sent", "load"), ("caught", "load")]
    assert kinds_and_steps(outbox)[1:3] == ["start load", "step load"]


def test_async_context_manager_over_a_job_handles_the_exception_of_its_body(
    recorder: TrackerApi, config: JobConfig, outbox: Path
) -> None:
    """The decorated function handles the exception, and the job succeeds."""

    @asynccontextmanager
    @recorder.as_job(config.tag, provider_job_id="one", customer_id=142)
    async def study() -> AsyncGenerator[str]:
        try:
            yield "study"
        except KeyError:
            assert current_job().provider_job_id == "one"

    async def main() -> None:
        async with study():
            raise KeyError("x")

    asyncio.run(main())
    assert kinds_and_steps(outbox) == ["start", "complete"]


@pytest.mark.parametrize("end", ["exhausted", "closed", "dropped"])
def test_generator_that_ends_in_another_step_leaves_the_caller_there(
    run: TrackerJob, end: str
) -> None:
    """The end of a generator does not change the current step of other code."""

    @step("load")
    def scans() -> Generator[int]:
        yield from range(2)

    with run as job:
        begun: list[Generator[int]] = [scans()]
        next(begun[0])
        with job.step("report") as report:
            if end == "exhausted":
                assert list(begun[0]) == [1]
            elif end == "closed":
                begun[0].close()
            begun.clear()
            assert current_step() is report
        assert current_job() is job


@pytest.mark.parametrize("end", ["exhausted", "closed"])
def test_async_generator_that_ends_in_another_step_leaves_the_caller_there(
    run: TrackerJob, end: str
) -> None:
    """The end of an async generator does not change the current step either."""

    @step("load")
    async def scans() -> AsyncGenerator[int]:
        yield 0
        yield 1

    async def main() -> None:
        with run as job:
            begun = scans()
            await anext(begun)
            with job.step("report") as report:
                if end == "exhausted":
                    assert [number async for number in begun] == [1]
                await begun.aclose()
                assert current_step() is report

    asyncio.run(main())


def test_block_that_threads_share_ends_the_step_of_each(
    recorder: TrackerApi, outbox: Path
) -> None:
    """Two threads share a block: each exit ends the step of its own job."""
    shared = step("load")
    is_entered, is_left = threading.Event(), threading.Event()

    def first() -> None:
        with recorder.job("first"):
            with shared:
                assert is_entered.wait(30)
            is_left.set()

    thread = threading.Thread(target=first)
    thread.start()
    while kinds_and_steps(outbox) != ["start", "start load"]:
        time.sleep(0.01)
    with recorder.job("second") as second:
        with shared:
            is_entered.set()
            assert is_left.wait(30)
            second.note("still at it")
    thread.join()

    assert [
        (event["provider_job_id"], event["kind"])
        for event in recorded(outbox)
        if event.get("tag") == "load" or event["kind"] == "info"
    ] == [
        ("first", "start"),
        ("second", "start"),
        ("first", "step"),
        ("second", "info"),
        ("second", "step"),
    ]


class _Study:
    """Class that a script decorates by mistake."""


NO_FUNCTIONS: dict[str, tuple[object, str]] = {
    "classmethod": (classmethod(len), "write @classmethod in the line above"),
    "staticmethod": (staticmethod(len), "write @staticmethod in the line above"),
    "property": (property(len), "write @property in the line above"),
    "cached_property": (cached_property(len), "write @cached_property in the line"),
    "class": (_Study, "the class _Study; decorate its methods"),
    "text": ("load", "got str"),
    "nothing": (None, "got NoneType"),
}


@pytest.mark.parametrize("name", NO_FUNCTIONS)
@pytest.mark.parametrize("decorator", ["step", "as_job"])
def test_decorated_object_must_be_a_function(
    recorder: TrackerApi, config: JobConfig, decorator: str, name: str
) -> None:
    """A decorator raises TypeError for a class or a descriptor, and names the fix."""
    decorated, fix = NO_FUNCTIONS[name]
    decorate: Any = step("load")
    if decorator == "as_job":
        decorate = recorder.as_job(config.tag, provider_job_id="one", customer_id=142)

    with pytest.raises(TypeError, match="only a function can be decorated") as caught:
        decorate(decorated)

    assert fix in str(caught.value)


def test_decorator_below_that_of_a_method_reports_its_calls(
    run: TrackerJob, outbox: Path
) -> None:
    """`@step` works below `@classmethod`, `@staticmethod` and `@property`."""

    class Study:
        @classmethod
        @step("load")
        def load(cls) -> str:
            return cls.__name__

        @staticmethod
        @step("segment")
        def segment(number: int) -> int:
            return number

        @property
        @step("report")
        def report(self) -> str:
            return "written"

    with run:
        results = Study.load(), Study().segment(3), Study().report

    assert results == ("Study", 3, "written")
    assert kinds_and_steps(outbox)[1:7:2] == [
        "start load",
        "start segment",
        "start report",
    ]


def test_decorated_function_is_a_job(
    recorder: TrackerApi, config: JobConfig, outbox: Path
) -> None:
    """`as_job()` takes the job id from the arguments and returns the result."""

    @recorder.as_job(
        config.tag,
        provider_job_id=lambda study, **_: f"study-{study}",
        customer_id=lambda _study, customer: customer,
    )
    def pipeline(study: int, customer: int) -> str:
        load(study)
        return f"{current_job().provider_job_id} for {customer}"

    assert pipeline(7, customer=142) == "study-7 for 142"
    assert kinds_and_steps(outbox) == ["start", "start load", "step load", "complete"]
    assert {event["provider_job_id"] for event in recorded(outbox)} == {"study-7"}


def test_decorated_coroutine_is_a_job_that_may_fail(
    recorder: TrackerApi, config: JobConfig, outbox: Path
) -> None:
    """The exception of a coroutine fails its job and reaches the caller."""

    @recorder.as_job(config.tag, provider_job_id="one", customer_id=142)
    async def pipeline() -> None:
        await segment("liver")
        raise ValueError("no liver")

    with pytest.raises(ValueError, match="no liver"):
        asyncio.run(pipeline())

    assert kinds_and_steps(outbox)[-2:] == ["step segment", "error"]


@pytest.mark.parametrize("is_named", [False, True])
def test_older_spelling_of_as_job_makes_the_same_decorator(
    recorder: TrackerApi, config: JobConfig, outbox: Path, is_named: bool
) -> None:
    """`@tracker.job(...)` with a customer id decorates like `as_job()`."""
    arguments: dict[str, Any] = {"provider_job_id": str, "customer_id": 142}
    older: Any = recorder.job
    decorator = (
        older(tag=config.tag, **arguments)
        if is_named
        else older(config.tag, metadata={"Key": 1}, **arguments)
    )

    @decorator
    def pipeline(study: int) -> str:
        return current_job().provider_job_id

    assert pipeline(7) == "7"
    assert kinds_and_steps(outbox) == ["start", "complete"]


def test_job_method_returns_a_handle(recorder: TrackerApi, config: JobConfig) -> None:
    """`tracker.job()` accepts the id as a positional or a keyword argument."""
    assert recorder.job("id").provider_job_id == "id"
    assert recorder.job(provider_job_id="id", tag=config.tag).config == config


@pytest.mark.parametrize(
    ("names", "keywords"),
    [
        (("id",), {"customr_id": 3}),
        (("id", "tag"), {}),
        ((), {}),
        ((), {"tag": "imaging"}),
        (("imaging",), {"provider_job_id": "id"}),
        (("id",), {"metadata": {"Key": 1}}),
    ],
)
def test_job_method_rejects_arguments_of_neither_kind(
    recorder: TrackerApi, names: tuple[str, ...], keywords: dict[str, Any]
) -> None:
    """`tracker.job()` raises TypeError if neither a handle nor a decorator fits."""
    any_job: Any = recorder.job

    with pytest.raises(TypeError):
        any_job(*names, **keywords)


@pytest.mark.parametrize(
    "given", [{"customer_id": None}, {"customer_id": 142}, {"metadata": {}}], ids=str
)
def test_incomplete_older_spelling_is_no_handle(
    recorder: TrackerApi, given: dict[str, Any]
) -> None:
    """`tracker.job()` with an argument of `as_job()` but no tag raises TypeError."""
    with pytest.raises(TypeError):
        recorder.job("imaging", **given)


@pytest.mark.parametrize(
    ("report", "message"),
    [
        (lambda job: job.detail(3), "text must be text, got int"),
        (lambda job: job.step("load").detail(3), "text must be text, got int"),
        (lambda job: job.send_event(["step"]), "kind must be text, got list"),
        (lambda job: job.send_event("step", ["load"]), "name must be text, got list"),
        (lambda job: job.send_event("step", tag={}), "tag must be text, got dict"),
    ],
    ids=["job-detail", "step-detail", "kind", "name", "tag"],
)
def test_argument_that_is_not_text_is_named(
    run: TrackerJob, report: Callable[[TrackerJob], object], message: str
) -> None:
    """The error names the argument and the type of its value."""
    with pytest.raises(TypeError, match=message):
        report(run)
