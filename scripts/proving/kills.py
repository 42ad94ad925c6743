"""Kills of the job and of `trackerapi sync`, each followed by a recovery.

Each kill has a job, an outbox and a record of its own, so that what goes wrong after it
can be seen; only the random kills of one lane share an outbox, so that processes are
killed in the middle of taking over what others have left.
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
from scripts.proving.plan import planned
from scripts.proving.record import read_record
from scripts.proving.tracer import Trace
from scripts.proving.verdict import judge
from trackerapi import TrackerApi

EVENTS: Final = 100
PACE_SECONDS: Final = 0.003
"""Slow enough for many requests in one run, fast enough for many runs."""

RUN_SECONDS: Final = (0.1, 1.1)
"""Between these times from its start a random kill meets a run."""

RUNS_PER_CHECK: Final = 25
PATIENCE_SECONDS: Final = 120.0
OFFLINE: Final = {"TRACKERAPI_MODE": "offline"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Outcome of one kill.

    Attributes:
        what: Name of the kill in the output.
        moment: What the process was at, such as the name of the system call that did
            not take place any more; empty if it had ended before.
        wrong: Faults after the recovery; empty without a fault.
    """

    what: str
    moment: str = ""
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Ground:
    """Points at which jobs are killed.

    Attributes:
        base_url: Address of the backend.
        api_key: Key that may report and ask.
        folder: For outboxes and records.
    """

    base_url: str
    api_key: str = field(repr=False)
    folder: Path

    def plot(self, name: str) -> "Plot":
        """Return a place of its own for one job."""
        folder = self.folder / name
        folder.mkdir()
        return Plot(self, folder, f"{name}-{uuid.uuid4()}")

    def tracker(self) -> TrackerApi:
        """Return a tracker that only asks."""
        outbox = self.folder / "unused"
        return TrackerApi(self.api_key, self.base_url, outbox=outbox, mode="offline")


@dataclass(frozen=True, slots=True)
class Plot:
    """Id, record and outbox of one job."""

    ground: Ground
    folder: Path
    job_id: str

    @property
    def record(self) -> Path:
        """File that the job records in."""
        return self.folder / f"{self.job_id}.record"

    def environment(self, **settings: str) -> dict[str, str]:
        """Return the environment of this plot's processes."""
        return environment(
            self.ground.base_url,
            self.folder / "outbox",
            TRACKERAPI_API_KEY=self.ground.api_key,
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
            timeout=PATIENCE_SECONDS,
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
        """Run the same job again: it claims the files of the killed process."""
        command = self.job("--round", "2", "--pace", "0", "--flush", "60")
        return self.run(command)

    def wrong_with(self, tracker: TrackerApi, *, calls_cut: int = 1) -> str:
        """Return the faults in the events of the job as text; empty without a fault.

        Args:
            tracker: Asks the backend.
            calls_cut: Calls that the kill may have kept from returning.
        """
        record = read_record(self.record)
        # A restart is another deliverer.
        verdict = judge(tracker, record, in_order_of_arrival=False)
        if len(verdict.unrecorded) > calls_cut:
            return str(verdict)
        if verdict.lost or verdict.doubled or verdict.misplaced:
            return str(verdict)
        return ""

    def clear(self) -> None:
        """Remove all traces of the job from the disk."""
        shutil.rmtree(self.folder)


def job_calls(ground: Ground) -> list[str]:
    """Return the write-like calls of an undisturbed run of the job."""
    plot = ground.plot("count-job")
    return _longest(plot.trace(plot.job()) for _ in range(2))


def sync_calls(ground: Ground) -> list[str]:
    """Return the write-like calls of a sync that delivers a whole run."""
    plot = ground.plot("count-sync")
    plot.run(plot.job("--pace", "0"), **OFFLINE)
    return _longest([plot.trace(sync_command(60.0))])


def kill_job(ground: Ground, tracker: TrackerApi, kill_at: int) -> Outcome:
    """Kill the job at one of its calls; recover by a sync and a rerun in turn."""
    plot = ground.plot(f"job-{kill_at}")
    done = plot.trace(plot.job(), kill_at)
    recover = plot.recover_by_sync if kill_at % 2 else plot.recover_by_restart
    wrong = recover() or plot.wrong_with(tracker)
    return _outcome(plot, f"job at call {kill_at}", done, wrong)


def kill_sync(ground: Ground, tracker: TrackerApi, kill_at: int) -> Outcome:
    """Kill a sync at one of its calls; recover by another."""
    plot = ground.plot(f"sync-{kill_at}")
    wrong = plot.run(plot.job("--pace", "0"), **OFFLINE)
    done = plot.trace(sync_command(60.0), kill_at)
    wrong = wrong or plot.recover_by_sync() or plot.wrong_with(tracker, calls_cut=0)
    return _outcome(plot, f"sync at call {kill_at}", done, wrong)


def kill_at_random(
    ground: Ground, tracker: TrackerApi, lane: int, count: int, seed: int
) -> Iterator[Outcome]:
    """Kill runs at random times on one outbox, with a recovery after each few."""
    dice = random.Random(f"{seed} {lane}")  # noqa: S311 - chooses when to kill
    shared = ground.plot(f"random-{seed}-{lane}").folder
    for begin in range(0, count, RUNS_PER_CHECK):
        plots = [
            Plot(ground, shared, f"random-{uuid.uuid4()}")
            for _ in range(min(RUNS_PER_CHECK, count - begin))
        ]
        moments = [_run_and_kill(plot, dice.uniform(*RUN_SECONDS)) for plot in plots]
        unrecovered = plots[0].recover_by_sync()
        for number, plot in enumerate(plots):
            what = f"run {begin + number + 1} of lane {lane} with seed {seed}"
            wrong = unrecovered or plot.wrong_with(tracker)
            if not wrong:
                plot.record.unlink(missing_ok=True)
            yield Outcome(what=what, moment=moments[number], wrong=wrong)


def _run_and_kill(plot: Plot, seconds: float) -> str:
    """Kill a run of the job after a time; return its last call."""
    with subprocess.Popen(
        plot.job(),
        cwd=ROOT,
        env=plot.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            reported = len(read_record(plot.record))
            if reported == len(planned(EVENTS)):
                return "delivering the rest"
            return "reporting" if reported else "starting"
    return ""


def _outcome(plot: Plot, what: str, done: Trace, wrong: str) -> Outcome:
    if not wrong:
        plot.clear()
    else:
        wrong += f" (see {plot.folder})"
    moment = done.calls[-1] if done.was_killed else ""
    return Outcome(what=what, moment=moment, wrong=wrong)


def _longest(traces: "Iterator[Trace] | Sequence[Trace]") -> list[str]:
    """Return the most calls of several runs, which differ a little."""
    most: list[str] = []
    for each in traces:
        if each.status != 0:
            print(f"a run without a kill ended with {each.status}", file=sys.stderr)
        most = max(most, each.calls, key=len)
    return most
