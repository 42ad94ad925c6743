"""Job scripts as processes, with pipes or on a terminal that the test reads."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self

import pyte

PATIENCE_SECONDS: Final = 60
"""Maximum duration of a script, in seconds."""

BEGIN: Final = """
import os, signal, subprocess, sys, threading, warnings
from trackerapi import JobConfigManager, TrackerApi

JobConfigManager(configs=[{
    "tag": "imaging",
    "name": "Imaging",
    "step_configurations": [
        {"tag": "load", "name": "Load [images]", "points": 1},
        {"tag": "segment", "name": "Segment", "points": 3},
    ],
}])
tracker = TrackerApi("key", "http://127.0.0.1:9", mode="offline", outbox=sys.argv[1])

def wait():
    "Wait for a line of the test."
    os.read(0, 1)

def run(name="study-1"):
    return tracker.run_job(name, 142, "imaging")

"""


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a script, without variables for its output format."""
    hidden = ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "PYTHONUNBUFFERED", "COLUMNS")
    kept = {key: value for key, value in os.environ.items() if key not in hidden}
    return {**kept, "TERM": "xterm-256color", "PYTHONUTF8": "1", **more}


def command(script: str, outbox: Path) -> list[str]:
    """Return the command line of a script."""
    return [sys.executable, "-W", "error", "-c", BEGIN + script, str(outbox)]


def run_piped(
    script: str, outbox: Path, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a script with pipes for stdout and stderr."""
    return subprocess.run(
        command(script, outbox),
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


class Terminal:
    """Terminal on which a script runs.

    Args:
        script: Python code, appended to `BEGIN`.
        outbox: Outbox folder of the script.
        columns: Width of the window, in characters.
        rows: Height of the window, in lines.
        stdout: Descriptor for stdout; None for the terminal.
        variables: Environment variables.

    Attributes:
        process: Process of the script.
        raw: All bytes that the terminal has received.
    """

    def __init__(
        self,
        script: str,
        outbox: Path,
        *,
        columns: int = 100,
        rows: int = 24,
        stdout: int | None = None,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._screen: Any = pyte.HistoryScreen(columns, rows, history=10_000)
        self._stream: Any = pyte.ByteStream(self._screen)
        self.raw = b""
        self._master, slave = pty.openpty()
        window = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, window)
        try:
            self.process = subprocess.Popen(
                command(script, outbox),
                stdin=subprocess.PIPE,
                stdout=slave if stdout is None else stdout,
                stderr=slave,
                env=environment(**{"TRACKERAPI_PROGRESS": "live", **variables}),
            )
        finally:
            os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.hang_up()

    @property
    def shown(self) -> list[str]:
        """Rows of the window, without blank rows."""
        rows = [str(row).rstrip() for row in self._screen.display]
        return [row for row in rows if row]

    @property
    def lines(self) -> list[str]:
        """Rows of the window and of its history, without blank rows."""
        before = [
            "".join(row[x].data for x in range(self._screen.columns)).rstrip()
            for row in self._screen.history.top
        ]
        return [*filter(None, before), *self.shown]

    @property
    def has_cursor(self) -> bool:
        """Whether the cursor is visible."""
        return not self._screen.cursor.hidden

    def until(self, is_so: Callable[[list[str]], bool]) -> list[str]:
        """Read until `is_so(rows)` is true; return the rows of the window."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so(self.shown):
            assert time.monotonic() < deadline, self.shown
            assert self._read(1.0), self.lines
        return self.shown

    def until_text(self, *texts: str) -> list[str]:
        """Read until the window contains all `texts`; return its rows."""
        return self.until(lambda rows: all(text in "\n".join(rows) for text in texts))

    def go_on(self) -> None:
        """Let the script continue after its call of `wait()`."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def end(self) -> int:
        """Read to the end of the script; return its exit status."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._read(1.0):
            assert time.monotonic() < deadline, self.lines
        return self.process.wait(PATIENCE_SECONDS)

    def hang_up(self) -> None:
        """Close the terminal: the script gets a hang-up."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def _read(self, seconds: float) -> bool:
        """Read for `seconds` at most; return False after the terminal was closed."""
        if not select.select([self._master], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:  # EIO on Linux: the terminal is closed
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)
