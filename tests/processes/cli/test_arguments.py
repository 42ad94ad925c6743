"""Arguments that are very long or contain control characters."""

import os
import subprocess
import sys

import pytest

from tests.support.command_lines import HOSTILE
from trackerapi.cli.exit_statuses import FINE

PATIENCE_SECONDS = 90.0


@pytest.mark.parametrize(
    "line",
    [
        [HOSTILE],
        [f"--{HOSTILE}"],
        ["job", HOSTILE],
        ["event", "info", HOSTILE],
        ["job", "list", "--status", HOSTILE],
        ["job", "list", "--limit", HOSTILE],
        ["sync", "--timeout", HOSTILE],
        ["run", f"--{HOSTILE}"],
        ["run", "--watch", HOSTILE, "--", "true"],
        ["run", "--", HOSTILE],
        ["outbox", "show", HOSTILE],
        ["outbox", "import", HOSTILE],
        ["job", "show", HOSTILE],
    ],
    ids=lambda line: " ".join(line)[:20].encode("ascii", "replace").decode(),
)
def test_error_repeats_an_argument_shortened_and_printable(line: list[str]) -> None:
    """The error for a hostile argument is printable and below 2,000 characters."""
    place = {
        "TRACKERAPI_BASE_URL": "http://127.0.0.1:9",
        "TRACKERAPI_API_KEY": "key",
    }
    # A separate process: `run` resets the signal handlers of its process.
    done = subprocess.run(
        [sys.executable, "-m", "trackerapi", *line],
        env={**os.environ, **place},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert done.returncode != FINE
    assert all(each.isprintable() for each in done.stderr.splitlines())
    assert len(done.stderr) < 2_000
