"""Runs of the proof job (`scripts.proving.job`) behind a failing proxy."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pytest

from scripts.project import ROOT
from scripts.proving.commands import environment, job_command, python, sync_command
from scripts.proving.job import OPEN_SUFFIX
from scripts.proving.record import Entry, read_record
from scripts.proving.verdict import judge, visible_state
from tests.support.fault_proxy import FaultProxy
from tests.support.running_backend import RunningBackend
from trackerapi import TrackerApi

EVENTS: Final = 150
"""Number of events of one run that must arrive."""

EXIT_SECONDS: Final = 60.0
"""Maximum duration of an exit on a busy machine.

`benchmarks/exit_delay.py` measures the usual duration.
"""

HOUR: Final = "3600"
"""`TRACKERAPI_SHUTDOWN_TIMEOUT` of jobs whose exit must not wait for the backend."""

PRINTED: Final = ("phase 1", "phase 2", "phase 3", "reported", "done")
"""Output of the job, with and without faults."""

FLUSHED: Final = (*PRINTED[:4], "waiting 0, held 0", "done")
"""Output of the job with `--flush` after a complete delivery."""

_PATIENCE_SECONDS: Final = 240.0
_PAUSE: Final = threading.Event()

Pictures = dict[str, dict[str, Any]]
"""State and events of the two jobs of a run, by the names "ended" and "open"."""


class JobProcess:
    """A running job that waits at gates until the test opens them.

    Attributes:
        printed: Lines of the job's standard output so far.
    """

    def __init__(
        self, command: list[str], settings: Mapping[str, str], log: Path
    ) -> None:
        self._log = log
        self.printed: list[str] = []
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=dict(settings),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        # A job that hangs must not hang the tests.
        self._watchdog = threading.Timer(_PATIENCE_SECONDS, self._process.kill)
        self._watchdog.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watchdog.cancel()
        if self._process.poll() is None:
            self._process.kill()
        with self._process:
            pass

    @property
    def log(self) -> str:
        """Text that the job has written to standard error."""
        return self._log.read_text(encoding="utf-8")

    def await_gate(self, name: str) -> None:
        """Wait until the job prints `name`."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline().rstrip("\n")
        self.printed.append(line)
        assert line == name, f"{line!r} instead of {name!r}; {self.log}"

    def open_gate(self) -> None:
        """Open the gate at which the job waits."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def pass_gate(self, name: str) -> None:
        """Wait until the job is at the gate, and open the gate."""
        self.await_gate(name)
        self.open_gate()

    def finish(self, *statuses: int) -> None:
        """Wait for the end of the job; assert that its exit status is in `statuses`.

        Args:
            *statuses: Accepted exit statuses; only 0 if empty.
        """
        assert self._process.stdout is not None
        self.printed += self._process.stdout.read().splitlines()
        assert self._process.wait() in (statuses or (0,)), self.log
        assert "Traceback (" not in self.log, self.log

    def run_through(self, first_gate: str = PRINTED[0]) -> float:
        """Open all further gates; return the seconds from the last event to the exit.

        Args:
            first_gate: Gate at which the job arrives next.
        """
        for gate in PRINTED[PRINTED.index(first_gate) : 3]:
            self.pass_gate(gate)
        self.await_gate("reported")
        began = time.monotonic()
        self.open_gate()
        self.finish()
        return time.monotonic() - began

    def await_children(self) -> None:
        """Wait until all processes have closed the standard output of the job."""
        assert self._process.stdout is not None
        self.printed += self._process.stdout.read().splitlines()

    def kill(self) -> None:
        """Kill the job by SIGKILL and wait for its end."""
        self._process.kill()
        self._process.wait()


@dataclass
class Lab:
    """Surroundings of one job: backend, proxy, outbox and record.

    Attributes:
        backend: Destination of the events.
        proxy: Only route of the job to the backend.
        folder: Folder of the outbox, the record and the log.
        job_id: Id of the job that ends; the id of the open job adds a suffix.
        settings: Further environment variables of the job's processes; an empty
            value removes the variable.
        prelude: Module that the processes import first; empty for none.
        base_url: Backend address for the processes; empty for the proxy's address.
    """

    backend: RunningBackend
    proxy: FaultProxy
    folder: Path
    job_id: str
    settings: dict[str, str] = field(default_factory=dict)
    prelude: str = ""
    base_url: str = ""

    @property
    def outbox(self) -> Path:
        """The outbox folder."""
        return Path(self.settings.get("TRACKERAPI_OUTBOX", self.folder / "outbox"))

    @property
    def record(self) -> list[Entry]:
        """Entries that the job has recorded."""
        return read_record(self._record)

    @property
    def fifo(self) -> Path:
        """Named pipe that a child of the job waits for; see `--fork waits`."""
        return self._record.with_suffix(".fifo")

    @property
    def _record(self) -> Path:
        return self.folder / "record"

    def start(self, *arguments: str, **settings: str) -> JobProcess:
        """Start the job, which waits at its gates.

        Args:
            *arguments: Further arguments of `scripts.proving.job`.
            **settings: Further environment variables.
        """
        own = ("--events", str(EVENTS), "--gates", *arguments)
        command = job_command(self.job_id, self._record, *own, prelude=self.prelude)
        return JobProcess(command, self._environment(settings), self.folder / "log")

    def sync(self, timeout_seconds: float = 30.0, **settings: str) -> None:
        """Deliver leftover records by `trackerapi sync`; assert that none is left."""
        with self.start_sync(timeout_seconds, **settings) as syncing:
            syncing.finish()

    def start_sync(self, timeout_seconds: float = 30.0, **settings: str) -> JobProcess:
        """Start `trackerapi sync`."""
        command = sync_command(timeout_seconds, prelude=self.prelude)
        return JobProcess(command, self._environment(settings), self.folder / "log")

    def run(self, *arguments: str) -> str:
        """Run a command of `trackerapi`; return its standard output."""
        done = subprocess.run(
            python("trackerapi", *arguments, prelude=self.prelude),
            cwd=ROOT,
            env=self._environment({}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def assert_all_arrived(
        self, undisturbed: Pictures, *, in_order_of_arrival: bool = True
    ) -> None:
        """Assert that the backend has the jobs and events of a run without faults."""
        self.assert_nothing_lost_or_doubled(in_order_of_arrival=in_order_of_arrival)
        with self.direct_tracker() as tracker:
            assert pictures_of(tracker, self.job_id) == undisturbed

    def assert_nothing_lost_or_doubled(
        self, *, in_order_of_arrival: bool = True
    ) -> None:
        """Assert that the backend has exactly the events whose calls returned.

        Args:
            in_order_of_arrival: See `judge()`.
        """
        assert any(entry.must_arrive for entry in self.record)
        with self.direct_tracker() as tracker:
            verdict = judge(
                tracker, self.record, in_order_of_arrival=in_order_of_arrival
            )
        assert not verdict, str(verdict)

    def await_delivered(self) -> None:
        """Wait until the backend has all events recorded so far."""
        wanted = [entry for entry in self.record if entry.must_arrive]
        deadline = time.monotonic() + _PATIENCE_SECONDS
        with self.direct_tracker() as tracker:
            while judge(tracker, wanted).lost:
                assert time.monotonic() < deadline, (
                    "some recorded events were not delivered in time"
                )
                _PAUSE.wait(0.05)  # Poll: the backend sends no notification.

    def direct_tracker(self) -> TrackerApi:
        """Return a tracker that reads from the backend directly, past the proxy."""
        return TrackerApi(
            self.backend.api_key,
            self.proxy.backend_url,
            outbox=self.folder / "unused",
            mode="offline",
        )

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        key = {"TRACKERAPI_API_KEY": self.backend.api_key}
        return environment(
            self.base_url or self.proxy.url,
            self.outbox,
            **{**key, **self.settings, **settings},
        )


def pictures_of(tracker: TrackerApi, job_id: str) -> Pictures:
    """Return state and events of the two jobs of a run."""
    return {
        "ended": visible_state(tracker, job_id),
        "open": visible_state(tracker, job_id + OPEN_SUFFIX),
    }


def fill(disk: Path) -> Path:
    """Fill a disk with one file; return the file."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        with suppress(OSError):  # The disk is full.
            while True:
                file.write(b"\0" * 4096)
    return ballast


def wrong_secret(key: str) -> str:
    """Return a key with the public part of `key` and another secret."""
    head, key_id, secret, check = key.split("_")
    return "_".join((head, key_id, secret[::-1], check))


def skip_or_fail(reason: str) -> None:
    """Skip a test that this machine cannot run; in CI, fail."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
