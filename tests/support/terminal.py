"""Job scripts as processes, behind pipes or on a terminal that a test looks at."""

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
"""After this a script is taken for hanging."""

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
    "Wait until the test has seen enough."
    os.read(0, 1)

def run(name="study-1"):
    return tracker.run_job(name, 142, "imaging")

"""


def environment(**more: str) -> dict[str, str]:
    """Return variables for a script, without those that say how things look."""
    hidden = ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "PYTHONUNBUFFERED", "COLUMNS")
    kept = {key: value for key, value in os.environ.items() if key not in hidden}
    return {**kept, "TERM": "xterm-256color", "PYTHONUTF8": "1", **more}


def command(script: str, outbox: Path) -> list[str]:
    """Return how a script is run."""
    return [sys.executable, "-W", "error", "-c", BEGIN + script, str(outbox)]


def run_piped(
    script: str, outbox: Path, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a script whose stdout and stderr are pipes."""
    return subprocess.run(
        command(script, outbox),
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


class Terminal:
    """A terminal with a script on it.

    Args:
        script: What to run, behind `BEGIN`.
        outbox: Its outbox.
        columns: Width of the window.
        rows: Height of it.
        stdout: Descriptor for its stdout; None for the terminal.
        variables: Environment variables.

    Attributes:
        process: The script.
        raw: All that has come to the terminal.
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
        """The rows of the window, without blank ones."""
        rows = [str(row).rstrip() for row in self._screen.display]
        return [row for row in rows if row]

    @property
    def lines(self) -> list[str]:
        """All that was ever printed and still stands, without blank rows."""
        before = [
            "".join(row[x].data for x in range(self._screen.columns)).rstrip()
            for row in self._screen.history.top
        ]
        return [*filter(None, before), *self.shown]

    @property
    def has_cursor(self) -> bool:
        """Whether the cursor is shown."""
        return not self._screen.cursor.hidden

    def until(self, is_so: Callable[[list[str]], bool]) -> list[str]:
        """Look at the window until it shows something; return its rows."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so(self.shown):
            assert time.monotonic() < deadline, self.shown
            assert self._read(1.0), self.lines
        return self.shown

    def until_text(self, *texts: str) -> list[str]:
        """Look at the window until it shows all of some texts; return its rows."""
        return self.until(lambda rows: all(text in "\n".join(rows) for text in texts))

    def go_on(self) -> None:
        """Let the script go on behind a `wait()`."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def end(self) -> int:
        """Read to the end of the script; return its exit code."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._read(1.0):
            assert time.monotonic() < deadline, self.lines
        return self.process.wait(PATIENCE_SECONDS)

    def hang_up(self) -> None:
        """Take the terminal away from the script."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def _read(self, seconds: float) -> bool:
        """Take what comes within a time; False if nobody has the terminal any more."""
        if not select.select([self._master], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:  # how Linux says that it is closed
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)
