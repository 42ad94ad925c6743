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
"""Maximum duration of a script, in seconds."""


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
    """Surroundings of the scripts of one job, with the event ids of returned calls.

    Attributes:
        backend: Destination of the events.
        base_url: Backend address for the scripts.
        folder: Folder of the outbox, the scripts and their files.
        job_id: Provider job id of the job.
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
        """Event ids of the calls that have returned."""
        return (self.folder / "returned").read_text().split()

    @contextmanager
    def start(
        self,
        script: str,
        *options: str,
        **settings: str,
    ) -> "Iterator[subprocess.Popen[str]]":
        """Start a script; kill it and its children at the end or after a timeout."""
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
            # A hanging child would keep the pipes open.
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
        """Run a script to its end; return stdout and stderr."""
        with self.start(script, *options, **settings) as process:
            output, errors = process.communicate()
        assert process.returncode == 0, errors
        return output, errors

    def assert_all_arrive_once(self, *, cut: int = 0) -> None:
        """Deliver by another tracker; assert that each returned event is stored once.

        Args:
            cut: Maximum number of calls that recorded an event without returning.
        """
        with TrackerApi(
            self.backend.api_key, self.base_url, outbox=self.outbox
        ) as following:
            deliver(following)
        with TrackerApi(self.backend.api_key, self.backend.base_url) as asking:
            counts = Counter(event.event_id for event in stored(asking, self.job_id))
        assert counts.total() == len(counts), "an event was stored twice"
        assert len(self.returned) == len(set(self.returned)) > 0
        lost = set(self.returned) - counts.keys()
        assert not lost, f"{len(lost)} of {len(self.returned)} events were lost"
        assert len(counts) - len(self.returned) <= cut

    def _settings(self) -> dict[str, str]:
        return {
            "TRACKERAPI_BASE_URL": self.base_url,
            "TRACKERAPI_API_KEY": self.backend.api_key,
            "TRACKERAPI_OUTBOX": str(self.outbox),
            # Long: a busy machine delivers slowly.
            "TRACKERAPI_SHUTDOWN_TIMEOUT": "30",
            "RETURNED": str(self.folder / "returned"),
            "JOB": self.job_id,
        }


@pytest.fixture
def scripts(backend: RunningBackend, job: TrackerJob, tmp_path: Path) -> Scripts:
    """Return the surroundings of scripts that report on a job of the backend."""
    return Scripts(backend, backend.base_url, tmp_path, job.provider_job_id)


def line_of(stream: IO[str] | None) -> str:
    """Return the next line of an output stream."""
    assert stream is not None
    return stream.readline().strip()


def write_line(process: "subprocess.Popen[str]", word: str) -> None:
    """Write a line to the standard input of a script."""
    assert process.stdin is not None
    process.stdin.write(word + "\n")
    process.stdin.flush()


OWN_THREADS: Final = """\
        # Newer versions of Python warn about a fork beside other threads.
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)

"""
"""First lines of a script that forks beside its own threads."""


KEEPING: Final = """\
        import httpx
        # On a busy machine, an idle connection could expire before the next request.
        httpx._config.DEFAULT_LIMITS.keepalive_expiry = 3600

"""
"""First lines of a script of a test that counts connections."""
