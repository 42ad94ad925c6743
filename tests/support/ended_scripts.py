"""Scripts that run to their end: output, errors, duration of the exit."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class EndedScript:
    """Result of a script with exit status 0.

    Attributes:
        seconds: Seconds from the last output to the end of the process.
    """

    stdout: str
    stderr: str
    seconds: float


def ended_script(script: str, **settings: str) -> EndedScript:
    """Run a script to its end; assert exit status 0 and no traceback."""
    begin = "import sys\nfrom trackerapi import TrackerApi\n"
    code = f"{begin}{script}\nprint('-', flush=True)"
    variables = {"PYTHONDONTWRITEBYTECODE": "1", **settings}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()
        assert process.stdout is not None
        assert process.stderr is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if line == "-\n":
                break
        began = time.monotonic()
        stderr = process.stderr.read()
        status = process.wait()
        seconds = time.monotonic() - began
        watchdog.cancel()
    assert status == 0, stderr
    assert "Traceback" not in stderr, stderr
    return EndedScript("".join(lines[:-1]), stderr, seconds)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Return a bound port without a listener: connections are refused."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as reserved:
        reserved.bind(("127.0.0.1", 0))
        port: int = reserved.getsockname()[1]
        yield port


def record_counts(stderr: str, place: Path) -> list[int]:
    """Return the record counts in the lines of stderr that contain the path `place`."""
    return [
        int(found[1])
        for line in stderr.splitlines()
        if str(place) in line and (found := re.search(r"\b(\d+) records?\b", line))
    ]
