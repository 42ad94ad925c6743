"""Scripts that run to their end, and their last words."""

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
    """A script that has ended well.

    Attributes:
        seconds: From its last output to its end.
    """

    stdout: str
    stderr: str
    seconds: float


def ended_script(script: str, **settings: str) -> EndedScript:
    """Run a script to its end; it must end well."""
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
    """Return a port at which nobody listens, and that nobody else can take."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as reserved:
        reserved.bind(("127.0.0.1", 0))
        port: int = reserved.getsockname()[1]
        yield port


def kept_counts(stderr: str, place: Path) -> list[int]:
    """Return the counts of the lines that say how many stay in a place."""
    return [
        int(found[1])
        for line in stderr.splitlines()
        if str(place) in line and (found := re.search(r"\b(\d+) records?\b", line))
    ]
