"""`trackerapi job watch` with a real backend: lines, JSON, terminal, exit statuses."""

import json
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

import pytest

from tests.support.leftovers import PATIENCE_SECONDS, Machine
from tests.support.terminal import Terminal
from trackerapi import JobConfigManager, TrackerApi, TrackerJob
from trackerapi.cli.exit_statuses import (
    FINE,
    INTERRUPTED,
    KEY_REFUSED,
    REFUSED,
    UNAVAILABLE,
    UNSUCCESSFUL,
    USAGE,
)

ON_TERMINAL: Final = """
from trackerapi.cli.main import main
raise SystemExit(main(["job", "watch", os.environ["JOB_ID"]]))
"""


@pytest.fixture
def reporter(machine: Machine) -> Iterator[TrackerApi]:
    """Return a tracker for the backend of the machine."""
    backend, folder = machine.backend, machine.outbox / "own"
    with TrackerApi(backend.api_key, backend.base_url, outbox=folder) as made:
        yield made


def new_job(reporter: TrackerApi, step_count: int = 2) -> TrackerJob:
    """Create a job with steps."""
    tag = f"import-{uuid.uuid4()}"
    steps = [
        {"tag": f"step_{n}", "name": f"Step {n}", "points": 1}
        for n in range(1, step_count + 1)
    ]
    document = {"tag": tag, "name": "An import", "step_configurations": steps}
    config = JobConfigManager(configs=[document]).get_job_config(tag)
    return reporter.create_job(str(uuid.uuid4()), 142, tag, config=config)


@contextmanager
def watching(machine: Machine, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """Run `job watch` while a test reports."""
    with subprocess.Popen(
        machine.command("job", "watch", *words),
        env=machine.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def stdout_of(process: "subprocess.Popen[str]") -> IO[str]:
    """Return the pipe with the output of a process."""
    assert process.stdout is not None
    return process.stdout


def test_json_has_an_object_for_each_state(
    machine: Machine, reporter: TrackerApi
) -> None:
    """Each state is printed at once, in one line; success ends with status 0."""
    job = new_job(reporter)
    with watching(machine, job.provider_job_id, "--json") as process:
        states: list[dict[str, Any]] = [json.loads(stdout_of(process).readline())]
        job.step("step_1").done()
        states.append(json.loads(stdout_of(process).readline()))
        job.complete()
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
        states += map(json.loads, output.splitlines())

    assert (process.returncode, errors) == (FINE, "")
    assert states[0]["status"] == "pending"
    assert states[1]["steps"][0]["status"] == "done"
    assert (states[-1]["status"], states[-1]["percent"]) == ("succeeded", 100.0)
    versions = [state["version"] for state in states]
    assert versions == sorted(set(versions))


def test_pipe_gets_a_line_for_each_change_of_a_status(
    machine: Machine, reporter: TrackerApi
) -> None:
    """Without a terminal, lines have no escapes; a mere note adds no line."""
    job = new_job(reporter)
    job_id = job.provider_job_id
    with watching(machine, job_id) as process:
        assert stdout_of(process).readline() == f"An import ({job_id}): pending, 0 %\n"
        job.note("words")
        reporter.flush()
        job.step("step_1").done()
        assert stdout_of(process).readline() == f"An import ({job_id}): running, 50 %\n"
        job.complete()
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)

    assert output == f"An import ({job_id}): succeeded, 100 %\n"
    assert (process.returncode, errors) == (FINE, "")


@pytest.mark.parametrize("end", ["fail", "cancel"])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_job_without_success_ends_with_status_5(
    machine: Machine, reporter: TrackerApi, end: str, options: tuple[str, ...]
) -> None:
    """A failed job names the command that shows the reason; JSON has only states."""
    job = new_job(reporter)
    getattr(job, end)("It ended.")
    reporter.flush()

    done = machine.run("job", "watch", job.provider_job_id, *options)

    assert (done.status, done.err) == (UNSUCCESSFUL, "")
    hint = f"for the reason, run: trackerapi job show '{job.provider_job_id}'\n"
    assert done.out.endswith(hint) == (end == "fail" and not options)


def test_last_watches_the_newest_job(machine: Machine, reporter: TrackerApi) -> None:
    """`--last` watches the newest job of the provider."""
    job = new_job(reporter)
    job.complete()
    reporter.flush()

    done = machine.run("job", "watch", "--last")

    assert done.status == FINE
    assert job.provider_job_id in done.out


@pytest.mark.parametrize(
    ("words", "settings", "status"),
    [
        (("no-such-job",), {}, REFUSED),
        (("one",), {"TRACKERAPI_API_KEY": "trk_wrong_key_000"}, KEY_REFUSED),
        (("one",), {"TRACKERAPI_BASE_URL": ""}, USAGE),
        (("one", "--last"), {}, USAGE),
        ((), {}, USAGE),
        (("",), {}, USAGE),
    ],
)
def test_failure_has_the_status_of_job_show(
    machine: Machine, words: tuple[str, ...], settings: dict[str, str], status: int
) -> None:
    """The exit status and the message are those of `job show`."""
    watched = machine.run("job", "watch", *words, **settings)
    shown = machine.run("job", "show", *words, **settings)

    assert (watched.status, watched.out) == (status, "")
    assert watched.status == shown.status
    last_words = [
        done.err.splitlines()[-1].partition(" (request ")[0]
        for done in (watched, shown)
    ]
    assert last_words[0].replace("job watch", "job show") == last_words[1]


def test_ctrl_c_ends_with_status_130(machine: Machine, reporter: TrackerApi) -> None:
    """SIGINT ends the command without a traceback, and leaves the job alone."""
    job = new_job(reporter)
    with watching(machine, job.provider_job_id) as process:
        assert stdout_of(process).readline()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, output, errors) == (INTERRUPTED, "", "")
    assert reporter.get_job(job.provider_job_id).status == "pending"


@contextmanager
def on_terminal(
    machine: Machine, job: TrackerJob, **variables: str
) -> Iterator[Terminal]:
    """Run `job watch` on a terminal."""
    settings = {
        "TRACKERAPI_BASE_URL": machine.backend.base_url,
        "TRACKERAPI_API_KEY": machine.backend.api_key,
        "JOB_ID": job.provider_job_id,
    }
    with Terminal(
        ON_TERMINAL, machine.outbox / "terminal", variables=settings | variables
    ) as terminal:
        yield terminal


def test_terminal_shows_one_bar_that_moves(
    machine: Machine, reporter: TrackerApi
) -> None:
    """The bar is cyan while the job runs; the last state stays on the terminal."""
    job = new_job(reporter)
    with on_terminal(machine, job) as terminal:
        terminal.until_text("An import", "0 %", "○ Step 1", "pending")
        job.send_event("progress", "step_1", completed=4, total=8)
        terminal.until_text("◐ Step 1", "25 %", "50 %", "4 of 8")
        assert b"\x1b[36m\xe2\x94\x81" in terminal.raw
        job.complete()
        assert terminal.end() == FINE
        assert terminal.has_cursor
        assert terminal.lines[0].split()[-1] == "succeeded"


def test_terminal_folds_more_than_twelve_steps(
    machine: Machine, reporter: TrackerApi
) -> None:
    """Of thirteen steps, those that are done and to do share a row each."""
    job = new_job(reporter, 13)
    job.step("step_1").done()
    job.send_event("start", "step_2")
    with on_terminal(machine, job, NO_COLOR="1") as terminal:
        rows = terminal.until_text("✓ 1 step done", "◐ Step 2", "○ 11 steps to do")
        assert len(rows) == 4
        assert b"\x1b[36m" not in terminal.raw
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == INTERRUPTED
        assert terminal.lines == rows


def test_unreachable_backend_ends_with_status_1(machine: Machine) -> None:
    """No answer to the first request ends the command."""
    done = machine.run("job", "watch", "one", TRACKERAPI_BASE_URL="http://127.0.0.1:9")

    assert done.status == UNAVAILABLE
    assert "cannot connect" in done.err
