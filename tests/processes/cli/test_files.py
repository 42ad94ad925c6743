"""Pipes, devices and regular files as input of commands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.odd_files import EXAMPLE, REFUSED
from tests.support.scripted_server import NOWHERE
from trackerapi.cli.exit_statuses import FINE, USAGE

PATIENCE_SECONDS = 90.0


@pytest.mark.parametrize(
    "line",
    [
        ("verify", "--api-key-file"),
        ("check", "job.py", "--config"),
        ("check",),
        ("job", "start", "x", "--customer", "1", "--config"),
        ("outbox", "import"),
    ],
    ids=" ".join,
)
def test_command_refuses_a_file_that_is_not_regular(
    odd_file: Path, tmp_path: Path, line: tuple[str, ...]
) -> None:
    """A pipe or device ends with status 2 and one line that names the path."""
    (tmp_path / "job.py").touch()
    done = subprocess.run(
        [sys.executable, "-m", "trackerapi", *line, str(odd_file)],
        env={
            **os.environ,
            "TRACKERAPI_BASE_URL": NOWHERE,
            "TRACKERAPI_API_KEY": "" if "verify" in line else "key",
            "TRACKERAPI_OUTBOX": str(tmp_path / "outbox"),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert (done.returncode, done.stdout) == (USAGE, "")
    [line_of_error] = done.stderr.splitlines()
    assert f"{odd_file}" in line_of_error
    assert re.search(REFUSED, line_of_error)


def test_script_to_check_comes_through_a_pipe() -> None:
    """`trackerapi check /dev/stdin` reads the script from a pipe."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "trackerapi",
            "check",
            "/dev/stdin",
            "--config",
            EXAMPLE,
        ],
        input="import trackerapi\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert (done.returncode, done.stderr) == (FINE, "")
