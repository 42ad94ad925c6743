"""What the block of a job reports, however it ends."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.recorded_jobs import recorded, story
from tests.support.scripted_server import NOWHERE
from trackerapi import JobConfig, OutboxError, TrackerApi, TrackerJob


class UsageError(Exception):
    """What a job script raises."""


def test_block_that_ends_is_a_success(run: TrackerJob, outbox: Path) -> None:
    """Begin and end are reported without a call for them."""
    with run as job, job.step("load"):
        pass

    assert story(outbox) == ["start", "start load", "step load", "complete"]


def test_exception_fails_step_and_job_and_goes_on_untouched(
    run: TrackerJob, outbox: Path
) -> None:
    """The script's own exception is what its caller sees, and nothing with it."""
    mistake = UsageError("no such file: /home/patient")

    with pytest.raises(UsageError) as caught:
        with run as job, job.step("load"):
            raise mistake

    assert caught.value is mistake
    assert (mistake.__cause__, mistake.__context__) == (None, None)
    assert story(outbox) == ["start", "start load", "error load", "error"]
    step, job_error = recorded(outbox)[-2:]
    assert step["message"] == "This step could not be completed."
    assert "Traceback" in step["detail"]
    assert "no such file: /home/patient" in step["detail"]
    assert job_error["message"] == "The job could not be completed."
    assert (
        job_error["detail"]
        == "step 'load' failed: UsageError: no such file: /home/patient"
    )


def test_author_says_what_the_customer_reads(run: TrackerJob, outbox: Path) -> None:
    """The author's sentence stands in for the neutral one."""
    with pytest.raises(UsageError):
        with run as job, job.step("load", on_failure="The images cannot be read."):
            raise UsageError

    assert recorded(outbox)[-2]["message"] == "The images cannot be read."


def test_exception_outside_of_a_step_brings_its_traceback_with_the_job(
    run: TrackerJob, outbox: Path
) -> None:
    """What no step has told is told by the job."""
    with pytest.raises(UsageError):
        with run:
            raise UsageError("between two steps")

    assert story(outbox) == ["start", "error"]
    assert "Traceback" in recorded(outbox)[-1]["detail"]


def test_exception_that_the_script_handles_lets_the_job_succeed(
    run: TrackerJob, outbox: Path
) -> None:
    """A failed step is no failed job for a script that goes on."""
    with run as job:
        try:
            with job.step("load"):
                raise UsageError
        except UsageError:
            pass

    assert story(outbox)[-2:] == ["error load", "complete"]


def test_exception_is_not_taken_for_one_that_is_gone(
    run: TrackerJob, outbox: Path
) -> None:
    """The next exception may have the id of the one that a step has told."""
    with pytest.raises(KeyError, match="y"), run as job:
        with suppress(ValueError), job.step("load"):
            raise ValueError("x")
        raise KeyError("y")

    detail = recorded(outbox)[-1]["detail"]
    assert detail.startswith("Traceback")
    assert detail.endswith("KeyError: 'y'")


def test_exception_that_was_handled_is_told_whole_when_it_comes_again(
    run: TrackerJob, outbox: Path
) -> None:
    """What ends the job is not taken for what a step told and the script handled."""
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
    """`sys.exit(0)` in a block is how many scripts end."""
    with pytest.raises(SystemExit):
        with run as job, job.step("load"):
            raise SystemExit(status)

    assert story(outbox)[-2:] == ["step load", "complete"]


@pytest.mark.parametrize("status", [1, "no space left"])
def test_exit_with_a_status_is_a_failure(
    run: TrackerJob, outbox: Path, status: object
) -> None:
    """`sys.exit(1)` says that it went wrong."""
    with pytest.raises(SystemExit):
        with run as job, job.step("load"):
            raise SystemExit(status)

    assert story(outbox)[-2:] == ["error load", "error"]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, asyncio.CancelledError, GeneratorExit]
)
def test_interruption_is_a_cancellation(
    run: TrackerJob, outbox: Path, error: type[BaseException]
) -> None:
    """Whom somebody has stopped has not failed."""
    with pytest.raises(error):
        with run as job, job.step("load"):
            raise error

    assert story(outbox) == ["start", "start load", "cancel"]


@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
def test_author_decides_how_the_job_ends(
    run: TrackerJob, outbox: Path, end: str
) -> None:
    """What the script has said is not said again by the end of the block."""
    with run as job:
        getattr(job, end)("in a word")

    kind = {"complete": "complete", "fail": "error", "cancel": "cancel"}[end]
    assert story(outbox) == ["start", kind]
    assert recorded(outbox)[-1]["message"] == "in a word"


def test_job_that_goes_on_after_its_failure_may_still_succeed(
    run: TrackerJob, outbox: Path
) -> None:
    """A word that later work has overtaken is no longer the last one."""
    with run as job:
        job.fail("The first try did not work.")
        with job.step("load"):
            pass

    assert story(outbox)[-3:] == ["start load", "step load", "complete"]


def test_handle_of_create_job_is_a_block_that_may_end_by_its_steps(
    recorder: TrackerApi, config: JobConfig, outbox: Path
) -> None:
    """A job that its last step has finished is not finished twice."""
    with recorder.create_job("auto", 142, config.tag) as job:
        for step in job.steps:
            job.step(step).done()

    assert story(outbox) == ["start", "step load", "step segment", "step report"]


def test_strict_outbox_error_never_replaces_the_script_s_exception(
    config: JobConfig, tmp_path: Path
) -> None:
    """With strict, too, an exception goes on untouched; alone, the error is raised."""
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
    """With strict, metadata that does not fit costs neither exception nor failure."""
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

    assert story(outbox)[1:4] == ["start load", "error load", "error"]


def test_skip_and_remarks_are_for_the_customer(run: TrackerJob, outbox: Path) -> None:
    """Reasons and remarks reach the customer as they were written."""
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


def test_off_costs_nothing_and_changes_nothing(config: JobConfig) -> None:
    """With tracking off, blocks run their work and nothing else."""
    tracker = TrackerApi(mode="off")
    done = []
    with tracker.run_job("off", 142, config.tag) as job:
        with job.step("load") as step:
            step.advance()
            step.metadata["Images"] = 3
            done.extend(step.track([1, 2]))
        done.extend(job.track([3], step="segment"))

    assert done == [1, 2, 3]
