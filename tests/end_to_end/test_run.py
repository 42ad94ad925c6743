"""`trackerapi run` on a real backend: resulting jobs, steps and events."""

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
    """Create a job of two steps; only an explicit end finishes it."""
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
    """Return the environment of a shell script that reports on the job.

    The timeout is long: delivery may be slow on a busy machine.
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
    """Run `trackerapi run` with `words` as arguments."""
    return subprocess.run(
        [*RUN, *words], env=settings, capture_output=True, text=True, check=False
    )


def step_of(job: Job, tag: str = "convert") -> JobStep:
    """Return a step of a job."""
    return next(step for step in job.steps if step.tag == tag)


def test_steps_of_a_shell_script_arrive(
    job: TrackerJob, settings: dict[str, str]
) -> None:
    """Each command completes a step, and the percentage follows the points."""
    done = run(settings, "--step", "convert", "--", "sh", "-c", "echo converted")

    assert (done.returncode, done.stdout, done.stderr) == (0, "converted\n", "")
    seen = job.fetch()
    assert (seen.status, seen.percent) == ("running", 80.0)
    assert step_of(seen).status == "done"

    run(settings, "--step", "Send it", "--", "true")
    assert step_of(job.fetch(), "send").attempts == 1


def test_failure_has_a_message_for_the_customer_and_details_for_the_provider(
    job: TrackerJob, settings: dict[str, str]
) -> None:
    """The job fails; only the provider's details contain the exit status."""
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
    """The percentage that a running command prints becomes the progress of its step."""
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
            _PAUSE.wait(0.05)  # Poll: the backend sends no notification.
        assert job.fetch().percent == 20.0
        running.communicate("\n")

    assert running.returncode == 1
    seen = job.fetch()
    assert (seen.percent, step_of(seen).fraction) == (40.0, 0.5)


def test_retried_step_is_done_at_its_second_attempt(
    job: TrackerJob, settings: dict[str, str], tmp_path: Path
) -> None:
    """The step is done at the second attempt, and the job never fails."""
    runs = tmp_path / "runs"
    script = f"echo >> {runs}; exit $((2 - $(wc -l < {runs})))"

    run(settings, "--step", "convert", "--attempts", "3", "--", "sh", "-c", script)

    seen = job.fetch()
    assert (seen.status, step_of(seen).status) == ("running", "done")
    assert step_of(seen).attempts == 2
    assert [event.retrying for event in job.events() if event.kind == "error"] == [True]


def test_concurrent_runs_of_one_job_all_arrive(
    job: TrackerJob, settings: dict[str, str]
) -> None:
    """Four commands at once, as GNU parallel starts them, complete both steps."""
    started = [
        subprocess.Popen([*RUN, "--step", step, "--", "true"], env=settings)
        for step in ("convert", "send", "convert", "send")
    ]

    assert [process.wait() for process in started] == [0] * 4
    assert [step.status for step in job.fetch().steps] == ["done", "done"]


def test_job_token_replaces_api_key_and_job_id(
    job: TrackerJob, settings: dict[str, str]
) -> None:
    """A job token, by variable or option, works without the provider's API key."""
    del settings["TRACKERAPI_API_KEY"]
    token = job.token()

    run({**settings, "TRACKERAPI_JOB": token}, "--step", "convert", "--", "true")
    run(
        {**settings, "TRACKERAPI_API_KEY": "another", "TRACKERAPI_JOB": "another"},
        *("--job", token, "--step", "send", "--", "true"),
    )

    assert [step.status for step in job.fetch().steps] == ["done", "done"]
