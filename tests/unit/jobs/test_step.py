"""What the handle of a step reports."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.recorded_jobs import progress, recorded, story
from trackerapi import JobConfig, TrackerApi, TrackerJob, TrackerStep, UnknownStepError
from trackerapi import step as step_decorator
from trackerapi.delivery.conflation import Conflation


def test_same_step_has_the_same_handle(run: TrackerJob) -> None:
    """By tag or by display name, in any thread, it is one step with one count."""
    assert run.step("load") is run.step("Load")
    assert run.steps["Load"] is run.step("load")
    assert list(run.steps) == ["load", "segment", "report"]
    assert len(run.steps) == 3


def test_misspelt_step_is_told_with_the_nearest_one(
    run: TrackerJob, caplog: pytest.LogCaptureFixture
) -> None:
    """A typo costs a warning that names what was meant."""
    run.step("lod")

    assert "has no step 'lod'" in caplog.text
    assert "did you mean 'load'?" in caplog.text


def test_misspelt_step_raises_with_strict(config: JobConfig, outbox: Path) -> None:
    """Who wants to know at once is told at once."""
    tracker = TrackerApi(
        "key", "http://127.0.0.1:9", mode="offline", outbox=outbox, strict=True
    )
    job = tracker.run_job("typo", 142, config.tag)

    with pytest.raises(UnknownStepError, match="did you mean 'load'"):
        job.step("lod")
    with pytest.raises(UnknownStepError, match="did you mean 'segment'"):
        job.steps["segmnt"]


def test_what_is_counted_arrives_with_the_end_of_the_step(
    run: TrackerJob, outbox: Path
) -> None:
    """Of a burst of updates the first and the last are written, and none after it."""
    with run.step("load", total=50) as step:
        for _ in range(50):
            step.advance()

    counts = progress(outbox, "load")
    assert counts[-1] == (50, 50)
    assert len(counts) <= 3
    assert story(outbox) == ["start load", "step load"]


def test_threads_add_up(run: TrackerJob, outbox: Path) -> None:
    """Four threads that advance one step lose no unit."""

    def work() -> None:
        for _ in range(1000):
            run.step("load").advance(0.5)

    with run.step("load", total=2000):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert progress(outbox, "load")[-1] == (2000, 2000)
    assert run.step("load").completed == 2000


def test_fraction_is_a_share_without_units(run: TrackerJob, outbox: Path) -> None:
    """A step that knows only its share says that and no count."""
    with run.step("segment") as step:
        step.fraction = 0.25
        assert step.fraction == 0.25
        step.fraction = 0.5
        step.fraction = 0.4
        assert step.fraction == 0.25 or step.fraction == 0.5

    last = [e for e in recorded(outbox) if e["kind"] == "progress"][-1]
    assert last["fraction"] == 0.4
    assert "completed" not in last


def test_texts_go_to_the_reader_they_are_for(run: TrackerJob, outbox: Path) -> None:
    """A note is the customer's, a detail is the provider's; never both."""
    with run.step("load") as step:
        step.note("Reading your images")
        step.detail(host="node-7", model="v7")
        step.metadata["Images"] = 3

    note, detail, end = recorded(outbox)[1:]
    assert (note["message"], "detail" in note) == ("Reading your images", False)
    assert ("message" in detail, detail["detail"]) == (False, "host: node-7\nmodel: v7")
    assert end["event_metadata"] == {"Images": 3}


def test_metadata_goes_with_a_failure_too(run: TrackerJob, outbox: Path) -> None:
    """What was known when it went wrong helps to find out why; it is sent once."""
    step = run.step("load")
    step.metadata["Images"] = 3
    step.fail("It cannot be read", error="bad magic number")
    step.done()

    failed, done = recorded(outbox)
    assert failed["event_metadata"] == {"Images": 3}
    assert (failed["message"], failed["detail"]) == (
        "It cannot be read",
        "bad magic number",
    )
    assert "event_metadata" not in done


def test_failed_items_are_counted_for_the_customer(
    run: TrackerJob, outbox: Path
) -> None:
    """The customer reads how many; what and why is the provider's."""
    with run.step("load", total=1000) as step:
        for number in range(150):
            try:
                raise OSError(f"scan {number} is damaged")
            except OSError as error:
                step.item_failed(f"/data/{number}.nii", error=error)
        step.item_failed("x", customer="One image cannot be read")

    events = recorded(outbox)
    lines = [event for event in events if event["kind"] == "info"]
    assert len(lines) == 100
    assert "message" not in lines[0]
    assert "scan 0 is damaged" in lines[0]["detail"]
    assert "'/data/0.nii'" in lines[0]["detail"]
    assert events[-1]["message"] == "151 of 1,000 could not be processed."


def test_item_that_failed_may_be_told_to_the_customer(
    run: TrackerJob, outbox: Path
) -> None:
    """The author's sentence about an item is shown, its name is not."""
    run.step("load").item_failed("secret-name", customer="An image cannot be read")

    (line,) = recorded(outbox)
    assert line["message"] == "An image cannot be read"
    assert "secret-name" in line["detail"]


def test_attempts_go_on_until_one_succeeds(run: TrackerJob, outbox: Path) -> None:
    """Each failed attempt is shown as one that another follows."""
    made = []
    with run.step("load") as step:
        for attempt in step.attempts(3, on=(OSError,), wait_seconds=0):
            with attempt:
                made.append(attempt.number)
                if attempt.number < 3:
                    raise OSError("not yet")

    assert made == [1, 2, 3]
    assert story(outbox) == [
        "start load",
        "error load",
        "start load",
        "error load",
        "start load",
        "step load",
    ]
    first = recorded(outbox)[1]
    assert first["retrying"] is True
    assert first["message"] == "Attempt 1 of 3 did not work; trying again."
    assert "not yet" in first["detail"]


def test_attempts_may_be_thousands(run: TrackerJob, outbox: Path) -> None:
    """The wait between attempts grows to its cap, and no further."""
    with run.step("load") as step:
        for attempt in step.attempts(1100, wait_seconds=0):
            with attempt:
                if attempt.number < 1100:
                    raise OSError("not yet")

    assert story(outbox)[-1] == "step load"


def test_async_attempts_may_be_thousands(run: TrackerJob, outbox: Path) -> None:
    """The same for a step of an event loop."""

    async def main() -> None:
        async for attempt in run.step("load").attempts(1100, wait_seconds=0):
            async with attempt:
                if attempt.number < 1100:
                    raise OSError("not yet")

    asyncio.run(main())

    assert story(outbox).count("start load") == 1099


def test_last_attempt_and_other_exceptions_go_on(run: TrackerJob) -> None:
    """Only what was asked for is tried again, and not for ever."""
    made = []

    def work(step: TrackerStep, error: Exception) -> None:
        for attempt in step.attempts(2, on=(OSError,), wait_seconds=0):
            with attempt:
                made.append(attempt.number)
                raise error

    with pytest.raises(OSError, match="broken"), run.step("load") as step:
        work(step, OSError("broken"))
    with pytest.raises(ValueError, match="wrong"), run.step("load") as step:
        work(step, ValueError("wrong"))

    assert made == [1, 2, 1]
    assert run.step("load").status == "failed"


@pytest.mark.parametrize(
    ("count", "wait", "error"), [(0, 1.0, ValueError), (2, -1.0, ValueError)]
)
def test_attempts_out_of_range_are_refused(
    run: TrackerJob, count: int, wait: float, error: type[Exception]
) -> None:
    """A number of attempts that cannot be made is a mistake of the author."""
    with pytest.raises(error):
        run.step("load").attempts(count, wait_seconds=wait)


@pytest.mark.parametrize("units", [-1, float("nan"), float("inf")])
def test_units_out_of_range_are_refused(run: TrackerJob, units: float) -> None:
    """Nobody does less than nothing."""
    with pytest.raises(ValueError, match="units must be"):
        run.step("load").advance(units)


def test_traceback_keeps_its_begin_and_its_end(run: TrackerJob, outbox: Path) -> None:
    """A text beyond the limit loses its middle, so that the reason is still there."""
    reason = "x" * 30_000 + "the very reason"
    with pytest.raises(ValueError, match="x"), run.step("load"):
        raise ValueError(reason)

    detail = recorded(outbox)[-1]["detail"]
    assert len(detail) <= 16_000
    assert detail.startswith("Traceback")
    assert detail.endswith("the very reason")


def test_exception_that_cannot_be_shown_still_fails_the_step(
    run: TrackerJob, outbox: Path
) -> None:
    """An exception whose text raises does not keep the failure from being told."""

    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    with pytest.raises(Unspeakable), run.step("load"):
        raise Unspeakable

    assert recorded(outbox)[-1]["kind"] == "error"
    assert "Unspeakable" in recorded(outbox)[-1]["detail"]


def test_counting_goes_on_after_ctrl_c(
    run: TrackerJob, outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was counted when a report was interrupted is in the next one."""
    offer = Conflation.offer

    def interrupt(*_: object) -> bool:
        monkeypatch.setattr(Conflation, "offer", offer)
        raise KeyboardInterrupt

    step = run.step("load")
    monkeypatch.setattr(Conflation, "offer", interrupt)
    with pytest.raises(KeyboardInterrupt):
        step.advance(1)
    step.advance(2)

    assert progress(outbox, "load") == [(3, None)]


def test_last_of_several_blocks_ends_the_step(run: TrackerJob, outbox: Path) -> None:
    """A step that three threads work at is done when all of them are."""
    begun, may_end = threading.Barrier(3), threading.Event()

    def work(number: int) -> None:
        with run.step("load"):
            begun.wait(10)
            if number:
                may_end.wait(10)

    with ThreadPoolExecutor(3) as pool:
        works = [pool.submit(work, number) for number in range(3)]
        works[0].result(10)
        assert run.step("load").status == "running"
        may_end.set()

    assert story(outbox).count("step load") == 1
    assert run.step("load").status == "done"


def test_failure_of_one_of_several_blocks_fails_the_step(
    run: TrackerJob, outbox: Path
) -> None:
    """What fails in one thread is told, though others end well."""
    first, second, third = (run.step("load") for _ in range(3))
    first.__enter__()
    second.__enter__()
    third.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(OSError, OSError("the second"), None)
    third.__exit__(None, None, None)

    assert story(outbox)[-1] == "error load"
    assert "the second" in recorded(outbox)[-1]["detail"]


def test_loop_within_a_block_of_its_step_leaves_the_end_to_it(
    run: TrackerJob, outbox: Path
) -> None:
    """The block may have more to do after the loop."""
    with run.step("load"):
        list(run.track(range(3), step="load"))
        assert run.step("load").status == "running"

    assert story(outbox).count("step load") == 1


def test_step_that_timed_out_is_not_under_way_for_ever(
    run: TrackerJob, outbox: Path
) -> None:
    """The work of a step is cancelled alone, and the job goes on."""

    async def work() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                with run.step("load"):
                    await asyncio.sleep(10)

    with run:
        asyncio.run(work())
        assert "error load" not in story(outbox)  # it may be tried again

    assert story(outbox)[-2:] == ["error load", "complete"]


def test_step_that_was_cancelled_may_still_be_said_to_be_done(
    run: TrackerJob, outbox: Path
) -> None:
    """The author knows better what a cancelled task means."""
    with run:
        with suppress(asyncio.CancelledError), run.step("load"):
            raise asyncio.CancelledError
        run.step("load").done()

    assert story(outbox)[-2:] == ["step load", "complete"]


def test_step_of_a_cancelled_job_has_not_failed(run: TrackerJob, outbox: Path) -> None:
    """Cancelled as a whole, a job needs no reason of a step."""
    with pytest.raises(KeyboardInterrupt), run, run.step("load"):
        raise KeyboardInterrupt

    assert story(outbox) == ["start", "start load", "cancel"]


def test_step_whose_metadata_is_refused_has_failed(
    run: TrackerJob, outbox: Path
) -> None:
    """A mistake in what goes with the end of a step leaves it not under way."""
    with pytest.raises(TypeError, match="metadata must be a mapping"), run:
        with run.step("load") as step:
            step.metadata = "no mapping"  # type: ignore[assignment]

    assert story(outbox) == ["start", "start load", "error load", "error"]


@pytest.mark.parametrize("on", [[OSError], "OSError", None, (OSError, "x")])
def test_attempts_after_what_is_no_exception_are_refused(
    run: TrackerJob, on: Any
) -> None:
    """It is told at once, and not in place of the exception of an attempt."""
    with pytest.raises(TypeError, match="on must be an exception or a tuple of them"):
        run.step("load").attempts(2, on=on)


def test_attempts_whose_wait_is_no_number_are_refused(run: TrackerJob) -> None:
    """The message names the argument."""
    wait: Any = "1"
    with pytest.raises(TypeError, match="wait_seconds must be a number, got str"):
        run.step("load").attempts(2, wait_seconds=wait)


class Count:
    """A whole number as NumPy has them: no int, and unknown to JSON."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __index__(self) -> int:
        return self._value


class Share:
    """A number as NumPy has them: no float, and unknown to JSON."""

    def __float__(self) -> float:
        return 0.25


def test_numbers_of_other_libraries_count(run: TrackerJob, outbox: Path) -> None:
    """What an array sums up to is reported as it is."""
    count: Any = Count(3)
    share: Any = Share()
    with run.step("load") as step:
        step.total = Decimal(4)  # type: ignore[assignment]
        step.advance(count)
    with run.step("segment") as step:
        step.fraction = share

    assert progress(outbox, "load")[-1] == (3, 4)
    assert recorded(outbox)[-2]["fraction"] == 0.25


@pytest.mark.parametrize("units", [True, "3", None, [3]])
def test_units_that_are_no_number_are_refused(run: TrackerJob, units: Any) -> None:
    """The message says what was given."""
    kind = type(units).__name__
    with pytest.raises(TypeError, match=f"units must be a number, got {kind}"):
        run.step("load").advance(units)


def test_customer_may_be_a_whole_number_of_another_library(
    recorder: TrackerApi, config: JobConfig, outbox: Path
) -> None:
    """An id out of a data frame is an id."""
    customer: Any = Count(142)
    recorder.create_job("framed", customer, config.tag)

    (path,) = outbox.glob("*.outbox")
    assert '"customer_id":142' in path.read_text()


def test_exception_as_the_customers_text_is_refused(run: TrackerJob) -> None:
    """The message says where an exception belongs."""
    error: Any = ValueError("/data/patient-4711")
    for fail in (run.fail, run.step("load").fail):
        with pytest.raises(TypeError, match="got ValueError; give it as error="):
            fail(error)
    with pytest.raises(TypeError, match="customer must be text, got int"):
        run.step("load").item_failed("scan", customer=5)  # type: ignore[arg-type]


def test_decorator_without_its_arguments_says_what_it_needs(
    recorder: TrackerApi,
) -> None:
    """The mistake is told where it is made: at the function."""
    bare: Any = step_decorator
    with pytest.raises(TypeError, match=r"@step needs the name of a step"):

        @bare
        def load() -> None: ...

    whole: Any = recorder.job
    with pytest.raises(TypeError, match=r"@tracker.as_job needs a tag, provider"):

        @whole
        def pipeline() -> None: ...

    with pytest.raises(TypeError, match="customer_id"):
        whole("imaging", provider_job_id="study-1")


def test_failure_is_told_before_the_job_ends_without_waiting_for_others(
    run: TrackerJob, outbox: Path
) -> None:
    """`gather()` raises the first exception, and leaves the other tasks alone."""

    async def work(number: int) -> None:
        with run.step("load"):
            await asyncio.sleep(number)
            raise OSError("the first")

    async def main() -> None:
        with run:
            await asyncio.gather(work(0), work(60))

    with pytest.raises(OSError, match="the first"):
        asyncio.run(main())

    assert story(outbox)[-2:] == ["error load", "error"]
    assert "step 'load' failed" in recorded(outbox)[-1]["detail"]
