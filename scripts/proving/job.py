"""The job of the proofs: makes the calls of `plan` and records each call that returned.

With `--gates`, the job stops before each phase, so that a test can stop and start the
backend: the job prints `phase N` and waits for a line on stdin.

Exit status: 0; any other status means that reporting has harmed the job.
"""

import argparse
import dataclasses
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.proving.plan import CONFIG, OPEN_CONFIG, Report, phases, plan_reports
from scripts.proving.record import Entry, Recorder
from trackerapi import JobConfig, TrackerApi, TrackerJob

CUSTOMER_ID = 142
OPEN_SUFFIX = "-open"
CHILD_EVENTS = 10
CHILD_NUMBERS = 10_000
"""Number of the first report of a child."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; return 0."""
    options = build_parser().parse_args(argv)
    tracker = TrackerApi(fsync=options.fsync)
    run = Run(tracker, options)
    for number, reports in enumerate(phases(plan_reports(options.events)), start=1):
        run.gate(f"phase {number}")
        if number == 2 and options.fork:
            run.fork(options.fork)
        for report in reports:
            run.report(report)
    run.gate("reported")
    run.wait_for_children()
    if options.flush is not None:
        began = time.monotonic()
        delivery = dataclasses.asdict(tracker.flush(timeout=options.flush))
        print(f"waiting {delivery['waiting']}, held {delivery['held']}", flush=True)
        print(
            f"flushed in {time.monotonic() - began:.2f} s: {delivery}", file=sys.stderr
        )
    if options.ending == "close":
        tracker.close()
    print("done", flush=True)
    if options.ending == "_exit":
        os._exit(0)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.proving.job")
    parser.add_argument(
        "--id", required=True, help="id of the job that ends; the open job adds -open"
    )
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--round", type=int, default=1, help="number of the run")
    parser.add_argument(
        "--pace", type=float, default=0.0, help="seconds between events"
    )
    parser.add_argument("--gates", action="store_true", help="wait between phases")
    parser.add_argument("--flush", type=float, help="seconds to flush at the end")
    parser.add_argument("--fsync", action="store_true")
    parser.add_argument(
        "--fork", choices=("exit", "_exit", "waits"), help="how the child ends"
    )
    parser.add_argument("--ending", choices=("close", "exit", "_exit"), default="close")
    return parser


class Run:
    """One run of the job in one process."""

    def __init__(self, tracker: TrackerApi, options: argparse.Namespace) -> None:
        self._tracker, self._options = tracker, options
        self._recorder = Recorder(options.record)
        self._jobs: dict[bool, TrackerJob] = {}
        self._children: list[int] = []
        self._pause = threading.Event()

    def gate(self, name: str) -> None:
        """Print the name of a gate; with `--gates`, wait for a line on stdin."""
        print(name, flush=True)
        if self._options.gates:
            sys.stdin.readline()

    def report(self, report: Report) -> None:
        """Send one event and record that the call returned."""
        job = self._job(report.on_open_job)
        event_id = job.send_event(
            kind=report.kind,
            name=report.tag,
            metadata={"Number": report.number, "Round": self._options.round},
            **report.details,
        )
        self._recorder.add(
            Entry(
                process_id=os.getpid(),
                provider_job_id=job.provider_job_id,
                number=report.number,
                kind=report.kind,
                event_id=event_id,
            )
        )
        if self._options.pace:
            self._pause.wait(self._options.pace)

    def fork(self, ending: str) -> None:
        """Fork a child that reports on the same job, and ends as `ending` says."""
        child = os.fork()
        if child:
            self._children.append(child)
            return
        for number in range(CHILD_NUMBERS, CHILD_NUMBERS + CHILD_EVENTS):
            self.report(Report(number, "info", details={"message": "From the child"}))
        if ending == "_exit":
            os._exit(0)
        if ending == "waits":
            # Blocks until another process opens and closes the FIFO for writing.
            self._options.record.with_suffix(".fifo").read_bytes()
        raise SystemExit(0)

    def wait_for_children(self) -> None:
        """Wait until all children have ended with status 0."""
        for child in self._children:
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if status != 0:
                raise RuntimeError(f"a child ended with {status}")

    def _job(self, is_open: bool) -> TrackerJob:
        if is_open not in self._jobs:
            config: JobConfig = OPEN_CONFIG if is_open else CONFIG
            self._jobs[is_open] = self._tracker.create_job(
                provider_job_id=self._options.id + (OPEN_SUFFIX if is_open else ""),
                customer_id=CUSTOMER_ID,
                tag=config.tag,
                config=config,
            )
        return self._jobs[is_open]


if __name__ == "__main__":
    raise SystemExit(main())
