"""Scripts that report on one job of a real backend, run as processes."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import pytest

from tests.support.backend_jobs import deliver, stored
from tests.support.running_backend import RunningBackend
from trackerapi import TrackerApi, TrackerJob

PATIENCE_SECONDS: Final = 120
"""After this a script is taken for hanging."""


PREAMBLE: Final = """\
import atexit, os, sys, threading, time
from trackerapi import TrackerApi

RETURNED = os.open(os.environ["RETURNED"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
JOB = os.environ["JOB"]

def send(job, count=1):
    for _ in range(count):
        event_id = job.send_event(kind="info", metadata={"pid": os.getpid()})
        os.write(RETURNED, event_id.encode() + b"\\n")

"""


@dataclass
class Scripts:
    """Where scripts of one job run, and what they say they have reported.

    Attributes:
        backend: Where events end up.
        base_url: Where scripts send them.
        folder: Holds the outbox and what the scripts write.
        job_id: The job that they report on.
    """

    backend: RunningBackend
    base_url: str
    folder: Path
    job_id: str

    @property
    def outbox(self) -> Path:
        """The outbox folder of the scripts."""
        return self.folder / "outbox"

    @property
    def returned(self) -> list[str]:
        """The ids of the events whose calls have returned."""
        return (self.folder / "returned").read_text().split()

    @contextmanager
    def started(
        self,
        script: str,
        *options: str,
        **settings: str,
    ) -> "Iterator[subprocess.Popen[str]]":
        """Start a script; one that hangs is killed with all its children."""
        file = self.folder / "script.py"
        file.write_text(PREAMBLE + textwrap.dedent(script))
        process = subprocess.Popen(
            [sys.executable, *options, str(file)],
            cwd=self.folder,
            env={**os.environ, **self._settings(), **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

        def kill() -> None:
            # A child that hangs would hold the pipes open.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        watchdog = threading.Timer(PATIENCE_SECONDS, kill)
        watchdog.start()
        with process:
            try:
                yield process
            finally:
                watchdog.cancel()
                kill()

    def run(self, script: str, *options: str, **settings: str) -> tuple[str, str]:
        """Run a script to its end; return its output and its errors."""
        with self.started(script, *options, **settings) as process:
            output, errors = process.communicate()
        assert process.returncode == 0, errors
        return output, errors

    def assert_all_arrive_once(self, *, cut: int = 0) -> None:
        """Let a next process deliver, and compare with what was returned.

        Args:
            cut: Calls that may have recorded without returning.
        """
        with TrackerApi(
            self.backend.api_key, self.base_url, outbox=self.outbox
        ) as following:
            deliver(following)
        with TrackerApi(self.backend.api_key, self.backend.base_url) as asking:
            counts = Counter(event.event_id for event in stored(asking, self.job_id))
        assert counts.total() == len(counts), "doubled"
        assert len(self.returned) == len(set(self.returned)) > 0
        lost = set(self.returned) - counts.keys()
        assert not lost, f"{len(lost)} of {len(self.returned)} lost"
        assert len(counts) - len(self.returned) <= cut

    def _settings(self) -> dict[str, str]:
        return {
            "TRACKERAPI_BASE_URL": self.base_url,
            "TRACKERAPI_API_KEY": self.backend.api_key,
            "TRACKERAPI_OUTBOX": str(self.outbox),
            # A busy machine is slow, and that proves nothing.
            "TRACKERAPI_SHUTDOWN_TIMEOUT": "30",
            "RETURNED": str(self.folder / "returned"),
            "JOB": self.job_id,
        }


@pytest.fixture
def scripts(backend: RunningBackend, job: TrackerJob, tmp_path: Path) -> Scripts:
    """Return where scripts report on a job of the backend."""
    return Scripts(backend, backend.base_url, tmp_path, job.provider_job_id)


def line_of(stream: IO[str] | None) -> str:
    """Return the next line of a script's output."""
    assert stream is not None
    return stream.readline().strip()


def say(process: "subprocess.Popen[str]", word: str) -> None:
    """Give a script a line to read."""
    assert process.stdin is not None
    process.stdin.write(word + "\n")
    process.stdin.flush()


OWN_THREADS: Final = """\
        # Newer Pythons warn of a fork beside threads of the script.
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)

"""
"""Begin of a script that forks beside threads of its own."""


KEEPING: Final = """\
        import httpx
        # A busy machine may take longer than an idle connection is kept.
        httpx._config.DEFAULT_LIMITS.keepalive_expiry = 3600

"""
"""Begin of a script whose connections are counted."""
