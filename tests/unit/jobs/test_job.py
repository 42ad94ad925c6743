"""Blocks of jobs, and their reports for each kind of end."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.recorded_jobs import kinds_and_steps, recorded
from tests.support.scripted_server import NOWHERE
from trackerapi import JobConfig, OutboxError, TrackerApi, TrackerJob


class UsageError(Exception):
    """Exception of a job script."""


def test_block_that_ends_is_a_success(run: TrackerJob, outbox: Path) -> None:
    """Blocks report the start and the end of job and step by themselves."""
    with run as job, job.step("load"):
        pass

    assert kinds_and_steps(outbox) == ["start", "start load", "step load", "complete"]


def test_exception_fails_step_and_job_and_goes_on_untouched(
    run: TrackerJob, outbox: Path
) -> None:
    """The exception is reported by step and job, and raised unchanged."""
    mistake = UsageError("no such file: /home/patient")

    with pytest.raises(UsageError) as caught:
        with run as job, job.step("load"):
            raise mistake

    assert caught.value is mistake
    assert (mistake.__cause__, mistake.__context__) == (None, None)
    assert kinds_and_steps(outbox) == ["start", "start load", "error load", "error"]
    step, job_error = recorded(outbox)[-2:]
    assert step["message"] == "This step could not be completed."
    assert "Traceback" in step["detail"]
    assert "no such file: /home/patient" in step["detail"]
    assert job_error["message"] == "The job could not be completed."
    assert (
        job_error["detail"]
        == "step 'load' failed: UsageError: no such file: /home/patient"
    )


def test_text_of_the_author_replaces_the_neutral_sentence(
    run: TrackerJob, outbox: Path
) -> None:
    """`on_failure` replaces the default message for the customer."""
    with pytest.raises(UsageError):
        with run as job, job.step("load", on_failure="The images cannot be read."):
            raise UsageError

    assert recorded(outbox)[-2]["message"] == "The images cannot be read."


def test_exception_outside_of_a_step_is_reported_with_the_job(
    run: TrackerJob, outbox: Path
) -> None:
    """The error of the job has the traceback if no step reported the exception."""
    with pytest.raises(UsageError):
        with run:
            raise UsageError("between two steps")

    assert kinds_and_steps(outbox) == ["start", "error"]
    assert "Traceback" in recorded(outbox)[-1]["detail"]


def test_handled_exception_lets_the_job_succeed(run: TrackerJob, outbox: Path) -> None:
    """A job with a failed step succeeds if the script handles the exception."""
    with run as job:
        try:
            with job.step("load"):
                raise UsageError
        except UsageError:
            pass

    assert kinds_and_steps(outbox)[-2:] == ["error load", "complete"]


def test_exception_with_a_reused_id_is_reported(run: TrackerJob, outbox: Path) -> None:
    """After a handled exception of a step, a new exception has its own traceback."""
    with pytest.raises(KeyError, match="y"), run as job:
        with suppress(ValueError), job.step("load"):
            raise ValueError("x")
        raise KeyError("y")

    detail = recorded(outbox)[-1]["detail"]
    assert detail.startswith("Traceback")
    assert detail.endswith("KeyError: 'y'")


def test_handled_exception_is_reported_whole_when_it_is_raised_again(
    run: TrackerJob, outbox: Path
) -> None:
    """If a handled exception is raised again, the job's error has its traceback."""
    mistake = UsageError("again")
    with pytest.raises(UsageError):
        with run as job:
            try:
                with job.step("load"):
                    raise mistake
            except UsageError:
                pass
            with job.step("segment"):
                pass
            raise mistake

    assert "Traceback" in recorded(outbox)[-1]["detail"]


@pytest.mark.parametrize("status", [None, 0, False])
def test_exit_with_success_is_a_success(
    run: TrackerJob, outbox: Path, status: object
) -> None:
    """`sys.exit(0)` in a block completes step and job."""
    with pytest.raises(SystemExit):
        with run as job, job.step("load"):
            raise SystemExit(status)

    assert kinds_and_steps(outbox)[-2:] == ["step load", "complete"]


@pytest.mark.parametrize("status", [1, "no space left"])
def test_exit_with_a_status_is_a_failure(
    run: TrackerJob, outbox: Path, status: object
) -> None:
    """`sys.exit(1)` in a block fails step and job."""
    with pytest.raises(SystemExit):
        with run as job, job.step("load"):
            raise SystemExit(status)

    assert kinds_and_steps(outbox)[-2:] == ["error load", "error"]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, asyncio.CancelledError, GeneratorExit]
)
def test_interruption_is_a_cancellation(
    run: TrackerJob, outbox: Path, error: type[BaseException]
) -> None:
    """KeyboardInterrupt and similar exceptions in a block cancel the job."""
    with pytest.raises(error):
        with run as job, job.step("load"):
            raise error

    assert kinds_and_steps(outbox) == ["start", "start load", "cancel"]


@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
def test_explicit_end_is_not_reported_again(
    run: TrackerJob, outbox: Path, end: str
) -> None:
    """After `complete()`, `fail()` or `cancel()` the block reports no further end."""
    with run as job:
        getattr(job, end)("in a word")

    kind = {"complete": "complete", "fail": "error", "cancel": "cancel"}[end]
    assert kinds_and_steps(outbox) == ["start", kind]
    assert recorded(outbox)[-1]["message"] == "in a word"


def test_job_that_continues_after_its_failure_may_succeed(
    run: TrackerJob, outbox: Path
) -> None:
    """If a step runs after `fail()`, the end of the block completes the job."""
    with run as job:
        job.fail("The first try did not work.")
        with job.step("load"):
            pass

    assert kinds_and_steps(outbox)[-3:] == ["start load", "step load", "complete"]


def test_handle_of_create_job_is_a_block_that_its_steps_may_end(
    recorder: TrackerApi, config: JobConfig, outbox: Path
) -> None:
    """A block of `create_job()` reports no end: its last step has ended the job."""
    with recorder.create_job("auto", 142, config.tag) as job:
        for step in job.steps:
            job.step(step).done()

    assert kinds_and_steps(outbox) == [
        "start",
        "step load",
        "step segment",
        "step report",
    ]


def test_strict_outbox_error_never_replaces_the_script_s_exception(
    config: JobConfig, tmp_path: Path
) -> None:
    """With `strict` the script's exception is raised in place of OutboxError."""
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    tracker = TrackerApi("key", NOWHERE, strict=True, outbox=blocked / "outbox")
    job = tracker.job("none", tag=config.tag)
    step = job.step("load")

    with pytest.raises(UsageError):
        try:
            step.__enter__()
        except OutboxError:
            step.__exit__(UsageError, UsageError(), None)
            raise UsageError from None
    with pytest.raises(OutboxError):
        job.complete()


def test_strict_misfit_never_replaces_the_script_s_exception(
    config: JobConfig, outbox: Path
) -> None:
    """With `strict` the script's exception is raised in place of ValueError."""
    tracker = TrackerApi(
        "key", "http://127.0.0.1:9", mode="offline", outbox=outbox, strict=True
    )
    with pytest.raises(UsageError):
        with tracker.run_job("misfit", 142, config.tag) as job:
            with job.step("load") as step:
                step.metadata["Images"] = {1, 2}
                raise UsageError
    with pytest.raises(ValueError, match="'Images': set is not JSON; stored as text"):
        with job.step("segment") as step:
            step.metadata["Images"] = {1, 2}

    assert kinds_and_steps(outbox)[1:4] == ["start load", "error load", "error"]


def test_skip_and_remarks_are_for_the_customer(run: TrackerJob, outbox: Path) -> None:
    """Reasons, notes and remarks are messages for the customer; details are not."""
    with run as job:
        job.skip("report", reason="Nothing to report")
        job.note("Half of it was known already")
        job.detail("took the short way", host="node-7")
        job.complete(remarks="Two images were left out")

    events = recorded(outbox)[1:]
    assert [event.get("message") for event in events] == [
        "Nothing to report",
        "Half of it was known already",
        None,
        "Two images were left out",
    ]
    assert events[2]["detail"] == "took the short way\nhost: node-7"


def test_off_runs_blocks_without_reports(config: JobConfig) -> None:
    """With `mode="off"` blocks and loops run their work without a report."""
    tracker = TrackerApi(mode="off")
    done = []
    with tracker.run_job("off", 142, config.tag) as job:
        with job.step("load") as step:
            step.advance()
            step.metadata["Images"] = 3
            done.extend(step.track([1, 2]))
        done.extend(job.track([3], step="segment"))

    assert done == [1, 2, 3]
