"""`trackerapi run` on a real backend: what a customer and a provider see of it."""

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.running_backend import RunningBackend
from trackerapi import Job, JobConfigManager, JobStep, TrackerApi, TrackerJob

RUN: Final = (sys.executable, "-W", "error", "-m", "trackerapi", "run")
PATIENCE_SECONDS: Final = 60.0
_PAUSE: Final = threading.Event()


@pytest.fixture
def job(backend: RunningBackend, tmp_path: Path) -> Iterator[TrackerJob]:
    """Create a job of two steps that is to be finished explicitly."""
    name = f"conversion-{uuid.uuid4()}"
    steps = [
        {"tag": "convert", "name": "Convert it", "points": 80},
        {"tag": "send", "name": "Send it", "points": 20},
    ]
    document = {"tag": name, "name": name, "step_configurations": steps}
    config = JobConfigManager(configs=[document]).get_job_config(name)
    with TrackerApi(
        backend.api_key, backend.base_url, outbox=tmp_path / "own"
    ) as tracker:
        made = tracker.run_job(name, backend.customer_id, name, config=config)
        tracker.flush()
        yield made


@pytest.fixture
def settings(
    backend: RunningBackend, job: TrackerJob, tmp_path: Path
) -> dict[str, str]:
    """Return the environment of a shell script of this job.

    A busy machine may take its time over the delivery.
    """
    return {
        **os.environ,
        "TRACKERAPI_BASE_URL": backend.base_url,
        "TRACKERAPI_API_KEY": backend.api_key,
        "TRACKERAPI_OUTBOX": str(tmp_path / "outbox"),
        "TRACKERAPI_JOB": job.provider_job_id,
        "TRACKERAPI_SHUTDOWN_TIMEOUT": "60",
    }


def run(settings: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    """Run with these words behind `run`."""
    return subprocess.run(
        [*RUN, *words], env=settings, capture_output=True, text=True, check=False
    )


def step_of(job: Job, tag: str = "convert") -> JobStep:
    """Return a step of a job."""
    return next(step for step in job.steps if step.tag == tag)


def test_steps_of_a_shell_script_arrive(
    job: TrackerJob, settings: dict[str, str]
) -> None:
    """One command a step; percent follows the points."""
    done = run(settings, "--step", "convert", "--", "sh", "-c", "echo converted")

    assert (done.returncode, done.stdout, done.stderr) == (0, "converted\n", "")
    seen = job.fetch()
    assert (seen.status, seen.percent) == ("running", 80.0)
    assert step_of(seen).status == "done"

    run(settings, "--step", "Send it", "--", "true")
    assert step_of(job.fetch(), "send").attempts == 1


def test_failure_is_told_to_each_reader_in_their_words(
    job: TrackerJob, settings: dict[str, str]
) -> None:
    """The exit status is for the provider, and the job has failed."""
    done = run(settings, "--step", "convert", "--", "sh", "-c", "exit 3")

    assert done.returncode == 3
    seen = job.fetch()
    assert (seen.status, step_of(seen).status) == ("failed", "failed")
    error = list(job.events())[-1]
    assert error.message == "This step could not be completed."
    assert error.detail is not None
    assert "exit status 3" in error.detail


def test_progress_arrives_while_the_command_runs(
    job: TrackerJob, settings: dict[str, str]
) -> None:
    """A percentage that the command prints is a share of its step."""
    script = "printf 'at 25%%\\r'; read line; printf 'at 50%%\\n'; exit 1"
    words = ("--step", "convert", "--progress", r"(\d+)%", "--", "sh", "-c", script)
    with subprocess.Popen(
        [*RUN, *words],
        env=settings,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        for _ in range(int(PATIENCE_SECONDS / 0.05)):
            if job.fetch().percent == 20.0:
                break
            _PAUSE.wait(0.05)  # the backend tells nobody
        assert job.fetch().percent == 20.0
        running.communicate("\n")

    assert running.returncode == 1
    seen = job.fetch()
    assert (seen.percent, step_of(seen).fraction) == (40.0, 0.5)


def test_second_attempt_arrives_as_one(
    job: TrackerJob, settings: dict[str, str], tmp_path: Path
) -> None:
    """The step is done at its second attempt, and the job never failed."""
    runs = tmp_path / "runs"
    script = f"echo >> {runs}; exit $((2 - $(wc -l < {runs})))"

    run(settings, "--step", "convert", "--attempts", "3", "--", "sh", "-c", script)

    seen = job.fetch()
    assert (seen.status, step_of(seen).status) == ("running", "done")
    assert step_of(seen).attempts == 2
    assert [event.retrying for event in job.events() if event.kind == "error"] == [True]


def test_runs_at_once_do_not_disturb_each_other(
    job: TrackerJob, settings: dict[str, str]
) -> None:
    """Several commands of one job, as GNU parallel starts them, all arrive."""
    started = [
        subprocess.Popen([*RUN, "--step", step, "--", "true"], env=settings)
        for step in ("convert", "send", "convert", "send")
    ]

    assert [process.wait() for process in started] == [0] * 4
    assert [step.status for step in job.fetch().steps] == ["done", "done"]


def test_token_of_a_job_is_all_that_is_needed(
    job: TrackerJob, settings: dict[str, str]
) -> None:
    """In another place, neither the key nor the id of the job need be known."""
    del settings["TRACKERAPI_API_KEY"]
    token = job.token()

    run({**settings, "TRACKERAPI_JOB": token}, "--step", "convert", "--", "true")
    run(
        {**settings, "TRACKERAPI_API_KEY": "another", "TRACKERAPI_JOB": "another"},
        *("--job", token, "--step", "send", "--", "true"),
    )

    assert [step.status for step in job.fetch().steps] == ["done", "done"]
