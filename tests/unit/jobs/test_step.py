"""Handles of steps, and their reports."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.recorded_jobs import kinds_and_steps, progress, recorded
from trackerapi import JobConfig, TrackerApi, TrackerJob, TrackerStep, UnknownStepError
from trackerapi import step as step_decorator
from trackerapi.delivery.conflation import Conflation


def test_same_step_has_the_same_handle(run: TrackerJob) -> None:
    """`job.step()` returns the same handle for a tag and its display name."""
    assert run.step("load") is run.step("Load")
    assert run.steps["Load"] is run.step("load")
    assert list(run.steps) == ["load", "segment", "report"]
    assert len(run.steps) == 3


def test_misspelt_step_warns_with_the_nearest_one(
    run: TrackerJob, caplog: pytest.LogCaptureFixture
) -> None:
    """An unknown step logs a warning that names the nearest tag."""
    run.step("lod")

    assert "has no step 'lod'" in caplog.text
    assert "did you mean 'load'?" in caplog.text


def test_misspelt_step_raises_with_strict(config: JobConfig, outbox: Path) -> None:
    """With `strict` an unknown step raises UnknownStepError with the nearest tag."""
    tracker = TrackerApi(
        "key", "http://127.0.0.1:9", mode="offline", outbox=outbox, strict=True
    )
    job = tracker.run_job("typo", 142, config.tag)

    with pytest.raises(UnknownStepError, match="did you mean 'load'"):
        job.step("lod")
    with pytest.raises(UnknownStepError, match="did you mean 'segment'"):
        job.steps["segmnt"]


def test_counts_arrive_with_the_end_of_the_step(run: TrackerJob, outbox: Path) -> None:
    """Of 50 updates in a burst at most three are written, with the last count."""
    with run.step("load", total=50) as step:
        for _ in range(50):
            step.advance()

    counts = progress(outbox, "load")
    assert counts[-1] == (50, 50)
    assert len(counts) <= 3
    assert kinds_and_steps(outbox) == ["start load", "step load"]


def test_units_of_threads_add_up(run: TrackerJob, outbox: Path) -> None:
    """Four threads advance one step by 2,000 units, and all units are counted."""

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


def test_fraction_is_reported_without_units(run: TrackerJob, outbox: Path) -> None:
    """A step with a fraction reports the fraction and no counts."""
    with run.step("segment") as step:
        step.fraction = 0.25
        assert step.fraction == 0.25
        step.fraction = 0.5
        step.fraction = 0.4
        assert step.fraction == 0.25 or step.fraction == 0.5

    last = [e for e in recorded(outbox) if e["kind"] == "progress"][-1]
    assert last["fraction"] == 0.4
    assert "completed" not in last


def test_note_is_for_the_customer_and_detail_for_the_provider(
    run: TrackerJob, outbox: Path
) -> None:
    """A note is sent as `message` for the customer, a detail as `detail`."""
    with run.step("load") as step:
        step.note("Reading your images")
        step.detail(host="node-7", model="v7")
        step.metadata["Images"] = 3

    note, detail, end = recorded(outbox)[1:]
    assert (note["message"], "detail" in note) == ("Reading your images", False)
    assert ("message" in detail, detail["detail"]) == (False, "host: node-7\nmodel: v7")
    assert end["event_metadata"] == {"Images": 3}


def test_metadata_goes_with_a_failure_too(run: TrackerJob, outbox: Path) -> None:
    """Metadata of a failed step is sent once, with the failure."""
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
    """The end names the number of failed items; 100 of them have a detail line."""
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
    counts = [event for event in events if "failed" in event]
    assert counts[-1] is events[-2]
    assert (counts[-1]["failed"], counts[-1]["completed"]) == (151, 0)


def test_failed_items_of_a_loop_are_counted(run: TrackerJob, outbox: Path) -> None:
    """The last progress of a step has the completed and the failed items."""
    with run.step("load") as step:
        for number in step.track(range(10)):
            if number % 4 == 1:
                step.item_failed(number)

    *_, progress, end = recorded(outbox)
    assert (progress["completed"], progress["total"], progress["failed"]) == (10, 10, 3)
    assert (end["kind"], "failed" in end) == ("step", False)


def test_step_without_units_reports_failed_items_alone(
    run: TrackerJob, outbox: Path
) -> None:
    """A step that counts no units has no `completed`; a repeated block begins anew."""
    for _ in range(2):
        with run.step("load") as step:
            step.item_failed("x")

    counts = [event for event in recorded(outbox) if event["kind"] == "progress"]
    assert [each["failed"] for each in counts] == [1, 1]
    assert not [each for each in counts if "completed" in each or "total" in each]


def test_failed_item_may_have_a_text_for_the_customer(
    run: TrackerJob, outbox: Path
) -> None:
    """The `customer` text is the message; the name of the item is in the detail."""
    run.step("load").item_failed("secret-name", customer="An image cannot be read")

    (line,) = recorded(outbox)
    assert line["message"] == "An image cannot be read"
    assert "secret-name" in line["detail"]


def test_attempts_continue_until_one_succeeds(run: TrackerJob, outbox: Path) -> None:
    """Each failed attempt is reported with `retrying`, and the last one succeeds."""
    made = []
    with run.step("load") as step:
        for attempt in step.attempts(3, on=(OSError,), wait_seconds=0):
            with attempt:
                made.append(attempt.number)
                if attempt.number < 3:
                    raise OSError("not yet")

    assert made == [1, 2, 3]
    assert kinds_and_steps(outbox) == [
        "start load",
        "error load",
        "start load",
        "error load",
        "start load",
        "step load",
    ]
    first = recorded(outbox)[1]
    assert first["retrying"] is True
    assert "message" not in first
    assert first["max_attempts"] == 3
    assert "not yet" in first["detail"]


def test_failed_attempt_has_the_text_for_the_customer(
    run: TrackerJob, outbox: Path
) -> None:
    """The customer reads the text of `customer=`, and never the exception."""
    with run.step("load") as step:
        for attempt in step.attempts(2, wait_seconds=0, customer="No answer yet."):
            with attempt:
                if not attempt.is_last:
                    raise OSError("db-7 refused")
        with pytest.raises(TypeError, match="pass an exception as error="):
            step.attempts(2, customer=OSError("db-7"))  # type: ignore[arg-type]

    assert recorded(outbox)[1]["message"] == "No answer yet."


def test_attempts_may_be_thousands(run: TrackerJob, outbox: Path) -> None:
    """1,100 attempts do not overflow the computation of the wait."""
    with run.step("load") as step:
        for attempt in step.attempts(1100, wait_seconds=0):
            with attempt:
                if attempt.number < 1100:
                    raise OSError("not yet")

    assert kinds_and_steps(outbox)[-1] == "step load"


def test_async_attempts_may_be_thousands(run: TrackerJob, outbox: Path) -> None:
    """1,100 async attempts do not overflow the computation of the wait."""

    async def main() -> None:
        async for attempt in run.step("load").attempts(1100, wait_seconds=0):
            async with attempt:
                if attempt.number < 1100:
                    raise OSError("not yet")

    asyncio.run(main())

    assert kinds_and_steps(outbox).count("start load") == 1099


def test_last_attempt_and_other_exceptions_are_raised(run: TrackerJob) -> None:
    """The last attempt raises, and so does an exception that `on` does not list."""
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
def test_attempts_out_of_range_are_rejected(
    run: TrackerJob, count: int, wait: float, error: type[Exception]
) -> None:
    """Zero attempts or a negative wait raise ValueError."""
    with pytest.raises(error):
        run.step("load").attempts(count, wait_seconds=wait)


@pytest.mark.parametrize("units", [-1, float("nan"), float("inf")])
def test_units_out_of_range_are_rejected(run: TrackerJob, units: float) -> None:
    """Negative, NaN or infinite units raise ValueError."""
    with pytest.raises(ValueError, match="units must be"):
        run.step("load").advance(units)


def test_traceback_keeps_its_begin_and_its_end(run: TrackerJob, outbox: Path) -> None:
    """A detail of more than 16,000 characters is cut in its middle."""
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
    """An exception whose `str()` raises is reported by the name of its class."""

    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    with pytest.raises(Unspeakable), run.step("load"):
        raise Unspeakable

    assert recorded(outbox)[-1]["kind"] == "error"
    assert "Unspeakable" in recorded(outbox)[-1]["detail"]


def test_counting_continues_after_ctrl_c(
    run: TrackerJob, outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Units of a report that Ctrl-C interrupted are in the next report."""
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
    """A step with blocks in three threads is done when the last block ends."""
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

    assert kinds_and_steps(outbox).count("step load") == 1
    assert run.step("load").status == "done"


def test_failure_of_one_of_several_blocks_fails_the_step(
    run: TrackerJob, outbox: Path
) -> None:
    """A step of three blocks fails if one of the blocks raises."""
    first, second, third = (run.step("load") for _ in range(3))
    first.__enter__()
    second.__enter__()
    third.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(OSError, OSError("the second"), None)
    third.__exit__(None, None, None)

    assert kinds_and_steps(outbox)[-1] == "error load"
    assert "the second" in recorded(outbox)[-1]["detail"]


def test_loop_within_a_block_of_its_step_does_not_end_it(
    run: TrackerJob, outbox: Path
) -> None:
    """A loop inside a block of its own step does not end the step."""
    with run.step("load"):
        list(run.track(range(3), step="load"))
        assert run.step("load").status == "running"

    assert kinds_and_steps(outbox).count("step load") == 1


def test_step_that_timed_out_does_not_stay_running(
    run: TrackerJob, outbox: Path
) -> None:
    """A step that timed out is reported as failed at the end of the job."""

    async def work() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                with run.step("load"):
                    await asyncio.sleep(10)

    with run:
        asyncio.run(work())
        # No failure yet: the script may try the step again.
        assert "error load" not in kinds_and_steps(outbox)

    assert kinds_and_steps(outbox)[-2:] == ["error load", "complete"]


def test_cancelled_step_may_be_reported_as_done(run: TrackerJob, outbox: Path) -> None:
    """A cancelled step can be reported as done afterwards; the job completes."""
    with run:
        with suppress(asyncio.CancelledError), run.step("load"):
            raise asyncio.CancelledError
        run.step("load").done()

    assert kinds_and_steps(outbox)[-2:] == ["step load", "complete"]


def test_step_of_a_cancelled_job_has_not_failed(run: TrackerJob, outbox: Path) -> None:
    """KeyboardInterrupt in a step reports `cancel` and no error of the step."""
    with pytest.raises(KeyboardInterrupt), run, run.step("load"):
        raise KeyboardInterrupt

    assert kinds_and_steps(outbox) == ["start", "start load", "cancel"]


def test_step_with_rejected_metadata_has_failed(run: TrackerJob, outbox: Path) -> None:
    """Metadata that is not a mapping fails the step and raises TypeError."""
    with pytest.raises(TypeError, match="metadata must be a dict"), run:
        with run.step("load") as step:
            step.metadata = "no mapping"  # type: ignore[assignment]

    assert kinds_and_steps(outbox) == ["start", "start load", "error load", "error"]


@pytest.mark.parametrize("on", [[OSError], "OSError", None, (OSError, "x")])
def test_attempts_after_something_else_than_exceptions_are_rejected(
    run: TrackerJob, on: Any
) -> None:
    """`attempts()` raises TypeError if `on` is not an exception or a tuple of them."""
    with pytest.raises(TypeError, match="on must be an exception or a tuple of them"):
        run.step("load").attempts(2, on=on)


def test_attempts_with_a_wait_that_is_no_number_are_rejected(run: TrackerJob) -> None:
    """A text as `wait_seconds` raises TypeError that names the argument."""
    wait: Any = "1"
    with pytest.raises(TypeError, match="wait_seconds must be a number, got str"):
        run.step("load").attempts(2, wait_seconds=wait)


class Count:
    """Integer of another library, such as NumPy: has `__index__()`, is not an int."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __index__(self) -> int:
        return self._value


class Share:
    """Number of another library, such as NumPy: has `__float__()`, is not a float."""

    def __float__(self) -> float:
        return 0.25


def test_numbers_of_other_libraries_count(run: TrackerJob, outbox: Path) -> None:
    """Decimal numbers and numbers of other libraries are reported as JSON numbers."""
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
def test_units_that_are_no_number_are_rejected(run: TrackerJob, units: Any) -> None:
    """Units that are not a number raise TypeError that names their type."""
    kind = type(units).__name__
    with pytest.raises(TypeError, match=f"units must be a number, got {kind}"):
        run.step("load").advance(units)


def test_customer_may_be_a_whole_number_of_another_library(
    recorder: TrackerApi, config: JobConfig, outbox: Path
) -> None:
    """A customer id with `__index__()` is recorded as an integer."""
    customer: Any = Count(142)
    recorder.create_job("framed", customer, config.tag)

    (path,) = outbox.glob("*.outbox")
    assert '"customer_id":142' in path.read_text()


def test_exception_as_the_customers_text_is_rejected(run: TrackerJob) -> None:
    """An exception as message raises TypeError that suggests `error=`."""
    error: Any = ValueError("/data/patient-4711")
    for fail in (run.fail, run.step("load").fail):
        with pytest.raises(TypeError, match="got ValueError; pass an exception as"):
            fail(error)
    with pytest.raises(TypeError, match="customer must be text, got int"):
        run.step("load").item_failed("scan", customer=5)  # type: ignore[arg-type]


def test_decorator_without_its_arguments_raises(
    recorder: TrackerApi,
) -> None:
    """`@step` and `@tracker.job` without arguments raise TypeError."""
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


def test_failure_is_reported_before_the_job_ends_without_other_tasks(
    run: TrackerJob, outbox: Path
) -> None:
    """If `gather()` raises while other blocks of the step run, the step fails."""

    async def work(number: int) -> None:
        with run.step("load"):
            await asyncio.sleep(number)
            raise OSError("the first")

    async def main() -> None:
        with run:
            await asyncio.gather(work(0), work(60))

    with pytest.raises(OSError, match="the first"):
        asyncio.run(main())

    assert kinds_and_steps(outbox)[-2:] == ["error load", "error"]
    assert "step 'load' failed" in recorded(outbox)[-1]["detail"]


@pytest.mark.parametrize("values", [3, "text", [("Message", "Hello")], None])
def test_metadata_of_a_wrong_type_is_rejected_at_the_assignment(
    run: TrackerJob, values: Any
) -> None:
    """Metadata that is not a dict raises at once; the end of the step would be late."""
    step = run.step("load")
    with pytest.raises(TypeError, match=r"^metadata must be a dict, got "):
        step.metadata = values


@pytest.mark.parametrize("text", [3, ValueError("x"), ["x"]])
def test_failure_text_of_a_wrong_type_is_rejected_at_the_assignment(
    run: TrackerJob, text: Any
) -> None:
    """A text that is not a string raises at once, by `step()` and by the attribute."""
    step = run.step("load")
    with pytest.raises(TypeError, match=r"^on_failure must be text, got "):
        step.on_failure = text
    with pytest.raises(TypeError, match=r"^on_failure must be text, got "):
        run.step("load", on_failure=text)


@pytest.mark.parametrize("name", ["nope", 3, None, ("load",)])
def test_steps_behave_like_a_mapping_for_other_names(
    run: TrackerJob, name: Any
) -> None:
    """`in` is False and `get()` returns the default; only `[]` raises, a KeyError."""
    assert name not in run.steps
    assert run.steps.get(name, "default") == "default"
    with pytest.raises(KeyError):
        run.steps[name]
    with pytest.raises(UnknownStepError):
        run.steps[name]


def test_readiness_is_the_same_by_tag_and_by_display_name(run: TrackerJob) -> None:
    """`is_ready()` accepts a tag or a display name, as all other calls do."""
    assert run.is_ready("load")
    assert run.is_ready("Load")
    assert not run.is_ready("segment")
    assert not run.is_ready("Segment")
    with pytest.raises(TypeError, match="name must be text, got int"):
        run.is_ready(3)  # type: ignore[arg-type]


def test_readiness_of_a_misspelt_step_raises_with_strict(
    config: JobConfig, outbox: Path
) -> None:
    """With `strict`, `is_ready()` names the nearest tag of an unknown step."""
    tracker = TrackerApi(
        "key", "http://127.0.0.1:9", mode="offline", outbox=outbox, strict=True
    )
    job = tracker.run_job("typo", 142, config.tag)
    with pytest.raises(UnknownStepError, match="did you mean 'load'"):
        job.is_ready("lod")
