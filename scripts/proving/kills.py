"""Kills of the job and of `trackerapi sync`, each followed by a recovery.

Each kill has its own job, outbox and record, so that a fault can be traced to its kill.
Only the random kills of one lane, which is one of several parallel threads, share an
outbox: a process is then also killed while it claims leftover files of killed
processes.
"""

import json
import random
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scripts.project import ROOT
from scripts.proving.commands import environment, job_command, python, sync_command
from scripts.proving.plan import plan_reports
from scripts.proving.record import read_record
from scripts.proving.tracer import Trace
from scripts.proving.verdict import judge
from trackerapi import TrackerApi

EVENTS: Final = 100
PACE_SECONDS: Final = 0.003
"""Seconds between events: a run then sends many requests, and still ends quickly."""

RUN_SECONDS: Final = (0.1, 1.1)
"""Earliest and latest time of a random kill, in seconds after the start of the run."""

RUNS_PER_CHECK: Final = 25
TIMEOUT_SECONDS: Final = 120.0
OFFLINE: Final = {"TRACKERAPI_MODE": "offline"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Outcome of one kill.

    Attributes:
        what: Name of the kill in the output.
        moment: Activity that the kill interrupted, such as the name of the system call
            that was not executed; empty if the process had ended before the kill.
        wrong: Faults after the recovery; empty without a fault.
    """

    what: str
    moment: str = ""
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class KillSetup:
    """Backend and folder for the jobs that are killed.

    Attributes:
        base_url: Address of the backend.
        api_key: Key with the scopes for reports and read calls.
        folder: Folder for the outboxes and records.
    """

    base_url: str
    api_key: str = field(repr=False)
    folder: Path

    def new_job(self, name: str) -> "KilledJob":
        """Return a new job with its own folder; its id begins with `name`."""
        folder = self.folder / name
        folder.mkdir()
        return KilledJob(self, folder, f"{name}-{uuid.uuid4()}")

    def tracker(self) -> TrackerApi:
        """Return a tracker for read calls."""
        outbox = self.folder / "unused"
        return TrackerApi(self.api_key, self.base_url, outbox=outbox, mode="offline")


@dataclass(frozen=True, slots=True)
class KilledJob:
    """Id, record and outbox of one job."""

    setup: KillSetup
    folder: Path
    job_id: str

    @property
    def record(self) -> Path:
        """File to which the job writes a line for each `send_event()` that returned."""
        return self.folder / f"{self.job_id}.record"

    def environment(self, **settings: str) -> dict[str, str]:
        """Return the environment of the processes of this job."""
        return environment(
            self.setup.base_url,
            self.folder / "outbox",
            TRACKERAPI_API_KEY=self.setup.api_key,
            **settings,
        )

    def job(self, *arguments: str) -> list[str]:
        """Return the command that runs the job."""
        own = ("--events", str(EVENTS), "--pace", str(PACE_SECONDS))
        return job_command(self.job_id, self.record, *own, *arguments)

    def run(self, command: Sequence[str], **settings: str) -> str:
        """Run a command to its end; return its failure as text, or an empty text."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment(**settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        if done.returncode == 0:
            return ""
        return f"{command[2]} ended with {done.returncode}: {done.stderr[-500:]}"

    def trace(
        self, command: Sequence[str], kill_at: int | None = None, **settings: str
    ) -> Trace:
        """Run a command under the tracer; see `scripts.proving.tracer`."""
        report = self.folder / "trace"
        options = ["--report", str(report)]
        if kill_at is not None:
            options += ["--kill-at", str(kill_at)]
        wrong = self.run(
            python("scripts.proving.tracer", *options, "--", *command), **settings
        )
        if wrong:
            raise RuntimeError(wrong)
        return Trace(**json.loads(report.read_text(encoding="utf-8")))

    def recover_by_sync(self) -> str:
        """Deliver the leftover files of the killed process; return failures as text."""
        return self.run(sync_command(60.0))

    def recover_by_restart(self) -> str:
        """Run the job again: the new process claims the files of the killed process."""
        command = self.job("--round", "2", "--pace", "0", "--flush", "60")
        return self.run(command)

    def faults_seen_by(self, tracker: TrackerApi, *, calls_cut: int = 1) -> str:
        """Return the faults in the events of the job as text; empty without a fault.

        Args:
            tracker: Tracker for read calls.
            calls_cut: Maximum number of calls that the kill may have interrupted
                between the storing of the event and the return.
        """
        record = read_record(self.record)
        # A restarted job delivers from another process, which changes the order.
        verdict = judge(tracker, record, in_order_of_arrival=False)
        if len(verdict.unrecorded) > calls_cut:
            return str(verdict)
        if verdict.lost or verdict.doubled or verdict.misplaced:
            return str(verdict)
        return ""

    def clear(self) -> None:
        """Delete the folder of the job, with outbox and record."""
        shutil.rmtree(self.folder)


def job_calls(setup: KillSetup) -> list[str]:
    """Return the write-like system calls of a run of the job, in order."""
    target = setup.new_job("count-job")
    return _longest(target.trace(target.job()) for _ in range(2))


def sync_calls(setup: KillSetup) -> list[str]:
    """Return the write-like system calls of a sync that delivers a run, in order."""
    target = setup.new_job("count-sync")
    target.run(target.job("--pace", "0"), **OFFLINE)
    return _longest([target.trace(sync_command(60.0))])


def kill_job(setup: KillSetup, tracker: TrackerApi, kill_at: int) -> Outcome:
    """Kill the job at a call; recover by a sync if `kill_at` is odd, or by a rerun."""
    target = setup.new_job(f"job-{kill_at}")
    done = target.trace(target.job(), kill_at)
    recover = target.recover_by_sync if kill_at % 2 else target.recover_by_restart
    wrong = recover() or target.faults_seen_by(tracker)
    return _outcome(target, f"job at call {kill_at}", done, wrong)


def kill_sync(setup: KillSetup, tracker: TrackerApi, kill_at: int) -> Outcome:
    """Kill a sync at call `kill_at`; recover by a second sync."""
    target = setup.new_job(f"sync-{kill_at}")
    wrong = target.run(target.job("--pace", "0"), **OFFLINE)
    done = target.trace(sync_command(60.0), kill_at)
    wrong = (
        wrong or target.recover_by_sync() or target.faults_seen_by(tracker, calls_cut=0)
    )
    return _outcome(target, f"sync at call {kill_at}", done, wrong)


def kill_at_random(
    setup: KillSetup, tracker: TrackerApi, lane: int, count: int, seed: int
) -> Iterator[Outcome]:
    """Kill runs at random times on one outbox, with a recovery after every 25 runs."""
    dice = random.Random(f"{seed} {lane}")  # noqa: S311 - chooses when to kill
    shared = setup.new_job(f"random-{seed}-{lane}").folder
    for begin in range(0, count, RUNS_PER_CHECK):
        targets = [
            KilledJob(setup, shared, f"random-{uuid.uuid4()}")
            for _ in range(min(RUNS_PER_CHECK, count - begin))
        ]
        moments = [
            _run_and_kill(target, dice.uniform(*RUN_SECONDS)) for target in targets
        ]
        unrecovered = targets[0].recover_by_sync()
        for number, target in enumerate(targets):
            what = f"run {begin + number + 1} of lane {lane} with seed {seed}"
            wrong = unrecovered or target.faults_seen_by(tracker)
            if not wrong:
                target.record.unlink(missing_ok=True)
            yield Outcome(what=what, moment=moments[number], wrong=wrong)


def _run_and_kill(target: KilledJob, seconds: float) -> str:
    """Kill a run of the job after `seconds`; return the interrupted activity."""
    with subprocess.Popen(
        target.job(),
        cwd=ROOT,
        env=target.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            reported = len(read_record(target.record))
            if reported == len(plan_reports(EVENTS)):
                return "delivering"
            return "reporting" if reported else "starting"
    return ""


def _outcome(target: KilledJob, what: str, done: Trace, wrong: str) -> Outcome:
    if not wrong:
        target.clear()
    else:
        wrong += f" (see {target.folder})"
    moment = done.calls[-1] if done.was_killed else ""
    return Outcome(what=what, moment=moment, wrong=wrong)


def _longest(traces: "Iterator[Trace] | Sequence[Trace]") -> list[str]:
    """Return the calls of the run with the most calls; runs differ by a few calls."""
    most: list[str] = []
    for each in traces:
        if each.status != 0:
            print(f"a run without a kill ended with {each.status}", file=sys.stderr)
        most = max(most, each.calls, key=len)
    return most
