"""Patterns and lines that match slowly, under `trackerapi run --progress`."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_runs import PYTHON, RUN, SHELL, RecordedRuns

PATIENCE_SECONDS = 120.0

ENDLESS = "a" * 40 + "b"
"""A line that `NESTED` cannot reject in useful time: each letter doubles the work."""

NESTED = r"(?P<completed>\d+)/(?P<total>\d+)|(a+)+$"
CUBIC = r"(?P<completed>\d+)/(?P<total>\d+)|(\d+)(\d+)x"


@pytest.fixture
def runs(tmp_path: Path) -> RecordedRuns:
    """Return a runner of `trackerapi run` that records into an empty outbox."""
    return RecordedRuns(tmp_path / "outbox")


def progress_in(runs: RecordedRuns) -> list[tuple[Any, Any]]:
    """Return the completed and total count of each progress event."""
    events = [event for event in runs.events if event["kind"] == "progress"]
    return [(event["completed"], event["total"]) for event in events]


def run(
    runs: RecordedRuns, regex: str, *command: str
) -> "subprocess.CompletedProcess[bytes]":
    """Run a command with `regex` as its progress pattern, and wait for its end."""
    return subprocess.run(
        [*RUN, "--step", "load", "--progress", regex, "--", *command],
        env=runs.settings,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    ("regex", "line"),
    [
        (NESTED, ENDLESS),
        (CUBIC, "1" * 4095),
        (r"(\d+)/(\d+)", "1" * 4095),
        (r"(?P<completed>\d+)/(?P<total>\d+)|(x+x+)+y", "x" * 60),
    ],
)
def test_slow_line_hides_no_other(
    runs: RecordedRuns, regex: str, line: str, before: bool
) -> None:
    """Slow lines are passed on, and the progress before or after them is reported."""
    slow = f"print('{line}\\n' * 3, end='')"
    words = [slow, "print('3/8')"] if before else ["print('3/8')", slow]

    done = run(runs, regex, *PYTHON, f"{'; '.join(words)}; raise SystemExit(5)")

    assert done.returncode == 5
    assert sorted(done.stdout.decode().split()) == sorted([line] * 3 + ["3/8"])
    assert done.stderr == b""
    assert progress_in(runs)[-1] == (3.0, 8.0)


def test_flood_of_slow_lines_is_passed_on(runs: RecordedRuns) -> None:
    """Two megabytes of slow lines are passed on, and the last line is matched."""
    script = f"print({'1' * 4095!r} + '\\n', end='')\n"
    loop = f"for _ in range(512): {script}print('3/8')"

    done = run(runs, r"(\d+)/(\d+)", *PYTHON, loop)

    assert done.returncode == 0
    assert len(done.stdout) == 512 * 4096 + len("3/8\n")
    assert progress_in(runs)[-1] == (3.0, 8.0)


def test_signal_does_not_wait_for_a_match(runs: RecordedRuns) -> None:
    """`run` passes SIGTERM to the command while a slow match is still running."""
    script = (
        f"trap 'echo stopped; exit 7' TERM; echo {ENDLESS}; while :; do read x; done"
    )
    with subprocess.Popen(
        [*RUN, "--step", "load", "--progress", NESTED, "--", *SHELL, script],
        env=runs.settings,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{ENDLESS}\n".encode()
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, output) == (7, b"stopped\n")


@pytest.mark.parametrize("ending", ["exit 0", "kill -KILL $PPID"])
def test_helper_ends_with_the_run(runs: RecordedRuns, ending: str) -> None:
    """The matching process ends with `run`, even if SIGKILL ends `run`."""
    watched, inherited = os.pipe()
    done = subprocess.run(
        [
            *(*RUN, "--step", "load", "--progress", NESTED, "--"),
            *(*SHELL, f"echo {ENDLESS}; {ending}"),
        ],
        env=runs.settings,
        stdout=subprocess.PIPE,
        pass_fds=[inherited],
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    os.close(inherited)

    assert done.returncode == (0 if ending == "exit 0" else -signal.SIGKILL)
    assert os.read(watched, 1) == b""
    os.close(watched)


def test_colours_beside_and_within_numbers_are_skipped(runs: RecordedRuns) -> None:
    """Progress is found in a line with colour sequences around its numbers."""
    line = r"\033[1m\033[32m3\033(B\033[m/\033[1m8\033(B\033[m\n"

    done = run(runs, r"(\d+)/(\d+)", *SHELL, f"printf '{line}'; exit 5")

    assert done.stdout == line.encode().decode("unicode_escape").encode()
    assert progress_in(runs) == [(3.0, 8.0)]


def test_attempts_share_one_helper(runs: RecordedRuns) -> None:
    """Output of the second attempt is matched after a slow match in the first."""
    script = (
        f"test -e seen && echo 7/8 && exit 0; >seen; echo {ENDLESS}; echo 1/8; exit 1"
    )
    done = subprocess.run(
        [
            *(*RUN, "--step", "load", "--attempts", "2", "--progress", NESTED, "--"),
            *(*SHELL, f"cd {runs.folder.parent}; {script}"),
        ],
        env=runs.settings,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert done.returncode == 0
    assert progress_in(runs) == [(1.0, 8.0), (7.0, 8.0)]
