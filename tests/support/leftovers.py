"""Outboxes with leftover files of real processes, and commands on these outboxes."""

import gzip
import io
import json
import os
import pty
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest import mock

from tests.support.running_backend import RunningBackend
from trackerapi import TrackerApi
from trackerapi.cli.main import main
from trackerapi.models import Job, JobEvent
from trackerapi.outbox.file import OutboxFile

PATIENCE_SECONDS: Final = 90.0
SECRET: Final = "canary"
UNKNOWN_CUSTOMER: Final = 999_999
NO_SETTINGS: Final = {"TRACKERAPI_BASE_URL": "", "TRACKERAPI_API_KEY": ""}

JOB: Final = """
import os, sys
from trackerapi import TrackerApi
mode, job_id, customer_id, event_count = sys.argv[1:]
tracker = TrackerApi(mode=mode)
job = tracker.create_job(job_id, int(customer_id), "import")
for number in range(int(event_count)):
    metadata = {"patient": f"canary {number}"}
    job.send_event(kind="info", message=f"line {number}", metadata=metadata)
    if mode == "online":
        tracker.flush(60)
print("recorded", flush=True)
for line in sys.stdin:
    job.send_event(kind="info", message=line.strip())
    report = tracker.flush(float(os.environ.get("FLUSH_SECONDS", "60")))
    print(report.waiting, report.held, flush=True)
"""
"""Script that records events, then reports each line of its standard input.

The variable `FLUSH_SECONDS` limits the wait for a line that cannot be delivered.
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, parsed as JSON."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Lines of standard output, each parsed as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Machine:
    """Outbox folder, and the settings of the commands and scripts that use the folder.

    Attributes:
        backend: Destination of the records.
        outbox: Path of the outbox folder.
        settings: Environment variables; an empty value removes the variable.
    """

    backend: RunningBackend
    outbox: Path
    settings: dict[str, str] = field(default_factory=dict)

    def environment(self, **settings: str) -> dict[str, str]:
        """Return the environment of a process."""
        usual = {
            "TRACKERAPI_BASE_URL": self.backend.base_url,
            "TRACKERAPI_API_KEY": self.backend.api_key,
            "TRACKERAPI_OUTBOX": str(self.outbox),
        }
        chosen = {**os.environ, **usual, **self.settings, **settings}
        return {name: value for name, value in chosen.items() if value}

    def run(self, *arguments: str, **settings: str) -> Outcome:
        """Run a command of `trackerapi` in this process."""
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, self.environment(**settings), clear=True),
            mock.patch("sys.stdin", io.StringIO()),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                status = main(arguments)
            except SystemExit as end:  # Raised by the argument parser.
                status = int(end.code or 0)
        return self._outcome(status, out.getvalue(), err.getvalue())

    def spawn(
        self, *arguments: str, limit: str = "", stdin: str = "", **settings: str
    ) -> Outcome:
        """Run a command of `trackerapi` in a separate process, without a terminal.

        Args:
            *arguments: Command and its arguments.
            limit: Options of the shell's `ulimit` for the process; empty for no limit.
            stdin: Standard input of the command.
            **settings: Further environment variables.
        """
        limits = ["sh", "-c", f'ulimit {limit}; exec "$@"', "sh"] if limit else []
        done = subprocess.run(
            [*limits, *self.command(*arguments)],
            env=self.environment(**settings),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return self._outcome(done.returncode, done.stdout, done.stderr)

    def type(self, typed: str, *arguments: str) -> Outcome:
        """Run a command at a terminal, enter `typed`; `err` is the terminal output."""
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            self.command(*arguments),
            env=self.environment(),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
        ) as process:
            os.close(theirs)
            os.write(ours, typed.encode())
            shown = b""
            with suppress(OSError):  # The process has closed the terminal.
                while chunk := os.read(ours, 65536):
                    shown += chunk
            os.close(ours)
            assert process.stdout is not None
            out = process.stdout.read()
        return self._outcome(process.returncode, out, shown.decode())

    def command(self, *arguments: str) -> list[str]:
        """Return the command line for a separate process."""
        return [sys.executable, "-W", "error", "-m", "trackerapi", *arguments]

    def _outcome(self, status: int, out: str, err: str) -> Outcome:
        assert "Traceback" not in err, err
        secret = self.backend.api_key.split("_")[2]
        assert secret not in out + err
        return Outcome(status, out, err)

    @contextmanager
    def job(
        self,
        job_id: str,
        *,
        events: int = 3,
        customer_id: int = 0,
        mode: str = "offline",
        **settings: str,
    ) -> Iterator["RunningJob"]:
        """Run a job that has recorded its events; kill it at the end of the block."""
        customer = customer_id or self.backend.customer_id
        arguments = [mode, job_id, str(customer), str(events)]
        with subprocess.Popen(
            [sys.executable, "-c", JOB, *arguments],
            env=self.environment(**settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            try:
                running = RunningJob(process)
                assert running.read() == "recorded"
                yield running
            finally:
                process.kill()

    def leave(self, **how: Any) -> str:
        """Run a job that records its events and is killed; return the id of the job."""
        job_id = str(uuid.uuid4())
        with self.job(job_id, **how):
            pass
        return job_id

    @property
    def files(self) -> list[dict[str, Any]]:
        """All files as `outbox list` returns them."""
        files: list[dict[str, Any]] = self.run(
            "outbox", "list", "--all", "--json"
        ).json["files"]
        return files

    @property
    def paths(self) -> list[Path]:
        """Outbox files that are not archived."""
        return sorted(self.outbox.glob("*.outbox"))

    def name_provider(self, provider_id: int) -> None:
        """Write the provider id into the headers of the files, as a delivery does."""
        for path in self.paths:
            file = OutboxFile.claim(path)
            assert file is not None
            file.name_provider(provider_id)
            file.close()

    def texts(self) -> str:
        """Return the text of all files below the folder."""
        files = [path for path in self.outbox.rglob("*") if path.is_file()]
        return "\n".join(path.read_text() for path in files)

    def get_job(self, job_id: str) -> Job:
        """Return a job from the backend."""
        key, url = self.backend.api_key, self.backend.base_url
        with TrackerApi(key, url, mode="offline") as tracker:
            return tracker.get_job(job_id)

    def events(self, job_id: str) -> list[JobEvent]:
        """Return the events of a job that the backend has stored."""
        key, url = self.backend.api_key, self.backend.base_url
        with TrackerApi(key, url, mode="offline") as tracker:
            return list(tracker.job(job_id).events())

    def messages(self, job_id: str) -> list[str]:
        """Return the messages of the events of a job that the backend has stored."""
        return [event.message or "" for event in self.events(job_id)]


@dataclass(frozen=True, slots=True)
class RunningJob:
    """Running `JOB` script, which waits for lines to report."""

    process: "subprocess.Popen[str]"

    def read(self) -> str:
        """Return the next line of standard output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def report(self, message: str) -> tuple[int, int]:
        """Report a message; return the counts of waiting and held records."""
        assert self.process.stdin is not None
        self.process.stdin.write(message + "\n")
        self.process.stdin.flush()
        waiting, held = self.read().split()
        return int(waiting), int(held)


def held_records(machine: Machine) -> list[dict[str, object]]:
    """Return all held records, in order."""
    return [
        record
        for file in machine.files
        for record in machine.run("outbox", "show", file["id"], "--json").lines
    ]


def lines_of(bundle: Path) -> list[dict[str, Any]]:
    """Return the parsed lines of a bundle."""
    with gzip.open(bundle) as lines:
        return [json.loads(line) for line in lines]
