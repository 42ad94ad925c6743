"""Reports of `trackerapi run`, read from the outbox."""

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.command_runs import PYTHON, SHELL, RecordedRuns

MARKER = "canary-7f3a"


@pytest.fixture
def runs(tmp_path: Path) -> RecordedRuns:
    """Return a runner of `trackerapi run` that records into an empty outbox."""
    return RecordedRuns(tmp_path / "outbox")


def test_step_is_done_when_the_command_succeeds(runs: RecordedRuns) -> None:
    """A command that succeeds records the start and the end of its step."""
    before = datetime.now(UTC)

    done = runs.run("--step", "load", "--", "true")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert runs.kinds_and_steps == [("start", "load"), ("step", "load")]
    began, ended = (datetime.fromisoformat(e["occurred_at"]) for e in runs.events)
    assert before <= began <= ended <= datetime.now(UTC)
    assert {event["provider_job_id"] for event in runs.events} == {"a-job"}


def test_step_fails_with_two_texts(runs: RecordedRuns) -> None:
    """The message of a failure is neutral; its detail has the exit status."""
    runs.run("--step", "load", "--", *SHELL, f"exit 3 # {MARKER}")

    error = runs.events[-1]
    assert runs.kinds_and_steps == [("start", "load"), ("error", "load")]
    assert error["message"] == "This step could not be completed."
    assert error["detail"].startswith("sh ended with exit status 3, ")
    assert MARKER not in json.dumps(runs.events)


def test_provider_reads_the_arguments_on_request(
    runs: RecordedRuns,
) -> None:
    """With `--show-arguments`, only the detail contains the arguments."""
    runs.run("--step", "load", "--show-arguments", "--", *SHELL, f"exit 3 # {MARKER}")

    events = runs.events
    assert MARKER in events[-1].pop("detail")
    assert MARKER not in json.dumps(events)


def test_command_that_is_killed_fails_its_step(runs: RecordedRuns) -> None:
    """The detail of a killed command names the signal."""
    runs.run("--step", "load", "--", *SHELL, "kill -KILL $$")

    assert runs.kinds_and_steps[-1] == ("error", "load")
    assert runs.events[-1]["detail"].startswith("sh was ended by SIGKILL, ")


def test_command_that_cannot_be_run_fails_its_step(runs: RecordedRuns) -> None:
    """The detail of a command that cannot be run is the error message of a shell."""
    done = runs.run("--step", "load", "--", "no-such-command")

    assert done.stderr == "trackerapi: no-such-command: command not found\n"
    assert runs.kinds_and_steps == [("start", "load"), ("error", "load")]
    detail = runs.events[-1]["detail"]
    assert detail == "no-such-command: command not found (exit status 127)"


@pytest.mark.parametrize("name", ["TERM", "INT"])
def test_stopped_command_leaves_its_step_open(runs: RecordedRuns, name: str) -> None:
    """SIGTERM and SIGINT record an `info` event that names the signal, and no error."""
    runs.run("--step", "load", "--", *SHELL, f"kill -{name} $$")

    line = runs.events[-1]
    assert runs.kinds_and_steps == [("start", "load"), ("info", "load")]
    assert line["message"] == "This step was stopped."
    assert line["detail"].startswith(f"sh was ended by SIG{name}, ")


def test_failed_attempts_are_reported_as_retried(
    runs: RecordedRuns, tmp_path: Path
) -> None:
    """Each failed attempt but the last is an error event with `retrying` set."""
    attempts = tmp_path / "attempts"
    script = f"echo >> {attempts}; exit $((2 - $(wc -l < {attempts})))"

    done = runs.run("--step", "load", "--attempts", "3", "--", *SHELL, script)

    assert done.returncode == 0
    assert runs.kinds_and_steps == [
        ("start", "load"),
        ("error", "load"),
        ("start", "load"),
        ("step", "load"),
    ]
    failed = runs.events[1]
    assert failed["retrying"] is True
    assert failed["max_attempts"] == 3
    assert "message" not in failed
    assert failed["detail"].startswith("sh ended with exit status 1, ")


def test_last_attempt_fails_the_step(runs: RecordedRuns) -> None:
    """The error of the last attempt is recorded without `retrying`."""
    done = runs.run("--step", "load", "--attempts", "2", "--", *SHELL, "exit 8")

    assert done.returncode == 8
    assert [kind for kind, _ in runs.kinds_and_steps] == [
        "start",
        "error",
        "start",
        "error",
    ]
    assert "retrying" not in runs.events[-1]


@pytest.mark.parametrize(("status", "status_text"), [(0, "0"), (7, "7")])
def test_command_without_a_step_does_not_end_the_job(
    runs: RecordedRuns, status: int, status_text: str
) -> None:
    """Without `--step`, `run` records the exit status in an `info` event of the job."""
    runs.run("--", *SHELL, f"exit {status}")

    assert runs.kinds_and_steps == [("start", None), ("info", None)]
    assert f"exit status {status_text}, " in runs.events[-1]["detail"]
    assert "message" not in runs.events[-1]


@pytest.mark.parametrize(
    ("name", "on_sigterm", "kind"),
    [
        ("TERM", "", "interrupt"),
        ("TERM", "interrupt", "interrupt"),
        ("TERM", "cancel", "cancel"),
        ("INT", "", "cancel"),
    ],
)
@pytest.mark.parametrize(
    "script",
    ["kill -{} $$", 'sh -c "kill -{} $PPID"; exec sleep 60'],
    ids=["sent to the command alone", "sent to run"],
)
def test_stopped_command_without_a_step_stops_the_job(
    runs: RecordedRuns, script: str, name: str, on_sigterm: str, kind: str
) -> None:
    """SIGTERM interrupts the job; Ctrl-C cancels it."""
    command = script.format(name)
    done = runs.run("--", *SHELL, command, TRACKERAPI_ON_SIGTERM=on_sigterm)

    assert done.returncode == -signal.Signals[f"SIG{name}"]
    assert runs.kinds_and_steps == [("start", None), (kind, None)]
    assert f" was ended by SIG{name}, " in runs.events[-1]["detail"]


def test_command_that_succeeds_after_sigterm_is_reported_as_done(
    runs: RecordedRuns,
) -> None:
    """After SIGTERM, a command with exit status 0 does not interrupt its job."""
    script = (
        "trap 'exit 0' TERM; sh -c \"kill -TERM $PPID\"; while :; do sleep 0.1; done"
    )

    runs.run("--", *SHELL, script)

    assert runs.kinds_and_steps == [("start", None), ("info", None)]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_progress_is_read_from_either_stream(runs: RecordedRuns, stream: str) -> None:
    """The last progress in the output is recorded before the end of the step."""
    script = (
        f"import sys\nfor i in range(8): print(i, 'of 8', end='\\r', file=sys.{stream})"
    )

    done = runs.run(
        "--step", "load", "--progress", r"(\d+) of (\d+)", "--", *PYTHON, script
    )

    progress_lines = "".join(
        f"{i} of 8\n" for i in range(8)
    )  # text mode reads a carriage return as a line end
    assert (done.stdout, done.stderr) == (
        (progress_lines, "") if stream == "stdout" else ("", progress_lines)
    )
    kinds = [kind for kind, _ in runs.kinds_and_steps]
    assert kinds[0] == "start"
    assert kinds[-1] == "step"
    last = runs.events[-2]
    assert (last["kind"], last["completed"], last["total"]) == ("progress", 7, 8)
    assert "part" not in last


def test_only_the_watched_stream_is_read(runs: RecordedRuns) -> None:
    """With `--watch stderr`, progress on stdout is ignored."""
    runs.run(
        *("--step", "load", "--progress", r"(\d+)%", "--watch", "stderr"),
        *("--", *SHELL, "echo 50%; echo 20% >&2"),
    )

    shares = [e["fraction"] for e in runs.events if e["kind"] == "progress"]
    assert shares == [0.2]


def test_job_of_the_command_line_wins(runs: RecordedRuns) -> None:
    """`--job` overrides `TRACKERAPI_JOB`."""
    runs.run("--job", "another", "--step", "load", "--", "true")

    assert {event["provider_job_id"] for event in runs.events} == {"another"}


def test_without_a_job_one_line_is_printed(runs: RecordedRuns) -> None:
    """Without a job, the command runs, and one line says that no job is set."""
    done = runs.run("--step", "load", "--", *SHELL, "exit 4", TRACKERAPI_JOB="")

    assert done.returncode == 4
    assert done.stderr.startswith("trackerapi: no job: set TRACKERAPI_JOB or pass")
    assert done.stderr.count("\n") == 1
    assert runs.events == []


def test_tracking_that_is_off_prints_nothing(runs: RecordedRuns) -> None:
    """With mode `off`, the command runs; `run` records and prints nothing."""
    done = runs.run("--step", "load", "--", *SHELL, "exit 4", TRACKERAPI_MODE="off")

    assert (done.returncode, done.stderr) == (4, "")
    assert runs.events == []


@pytest.mark.parametrize(
    "settings",
    [
        {"TRACKERAPI_BASE_URL": "nonsense"},
        {"TRACKERAPI_MODE": "online"},
        {"TRACKERAPI_SHUTDOWN_TIMEOUT": "soon"},
        {"TRACKERAPI_JOB": "a\tjob"},
        {"TRACKERAPI_MODE": "sideways"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_wrong_setting_is_a_warning(
    runs: RecordedRuns, settings: dict[str, str]
) -> None:
    """With a wrong setting, the command runs, and one line names the setting."""
    done = runs.run(
        *("--step", "load", "--", *SHELL, "echo out; echo err >&2; exit 6"), **settings
    )

    assert (done.returncode, done.stdout) == (6, "out\n")
    own, *others = done.stderr.splitlines()[::-1]
    assert others == ["err"]
    assert own.startswith("trackerapi: nothing is reported: ")


def test_wrong_usage_runs_nothing(runs: RecordedRuns) -> None:
    """A usage error ends with status 2 before the command starts."""
    done = runs.run("--step", "load", "--progress", "(", "--", *SHELL, "echo ran")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0].startswith("usage: trackerapi run ")
    assert "--progress: not a regular expression" in done.stderr
    assert runs.events == []


@pytest.mark.parametrize("strict", ["0", "1"])
def test_outbox_that_cannot_be_written_is_a_warning(
    runs: RecordedRuns, tmp_path: Path, strict: str
) -> None:
    """If the outbox cannot be written, `run` warns and keeps the exit status."""
    (tmp_path / "file").write_bytes(b"")

    done = runs.run(
        *("--step", "load", "--", *SHELL, "exit 5"),
        TRACKERAPI_OUTBOX=str(tmp_path / "file" / "outbox"),
        TRACKERAPI_STRICT=strict,
    )

    assert done.returncode == 5
    assert done.stderr.startswith("trackerapi: ")
    assert "Traceback" not in done.stderr


def test_start_of_the_command_loads_few_modules() -> None:
    """Until the command starts, `run` loads only the listed modules."""
    script = (
        "import os, sys\n"
        "before = set(sys.modules)\n"
        "def show(*_):\n"
        "    os.write(1, ' '.join(set(sys.modules) - before).encode())\n"
        "os.execv = show\n"
        "sys.argv = ['trackerapi', 'run', '--step', 'x', '--', 'true']\n"
        "from trackerapi.cli.entry import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    loaded = set(done.stdout.split())
    ours = {name for name in loaded if name.startswith("trackerapi")}
    assert ours == {
        "trackerapi",
        "trackerapi.cli",
        "trackerapi.cli.entry",
        "trackerapi.cli.run",
        "trackerapi.cli.run.arguments",
        "trackerapi.cli.run.programs",
        "trackerapi.cli.run.run",
    }
    assert loaded - ours <= {
        "_signal",
        "builtins",
        "collections",
        "enum",
        "errno",
        "functools",
        "itertools",
        "keyword",
        "operator",
        "reprlib",
        "signal",
        "types",
        "_collections",
        "_functools",
        "_operator",
    }
