"""Command `job watch`: shows a job while it changes, until it has ended."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

from trackerapi.cli.exit_statuses import FINE, READ_STATUSES, UNSUCCESSFUL
from trackerapi.cli.options import add_backend, add_command, add_json
from trackerapi.cli.printing import flush_stdout, print_json, print_line
from trackerapi.cli.reporting import newest_job, tracker_for_reading
from trackerapi.problems import shell_word
from trackerapi.process.clock import steady_seconds
from trackerapi.view.output import Output
from trackerapi.view.screen import Screen
from trackerapi.view.watched import JobRows, job_line
from trackerapi.view.watcher import has_movable_cursor

if TYPE_CHECKING:
    from trackerapi.models import Job

LINE_SECONDS: Final = 10.0
"""Minimum time between two lines of a job of which only counts change, in seconds."""

_SPARE_ROWS: Final = 2

_HELP: Final = f"""\
Show a job while it changes, until it has ended.

On a terminal, the job has a bar and its steps are below. Elsewhere, each change of a
status is a line, and other changes are a line each 10 s. With --json, each state of the
job is a JSON object in one line. The command goes on over restarts of the backend and
lost connections. Ctrl-C ends the command and leaves the job alone.

{READ_STATUSES}and, for this command, 5 the job has failed or was cancelled, 130 Ctrl-C

examples:
  trackerapi job watch import-7
  trackerapi job watch --last --json
"""


class _Display(Protocol):
    def show(self, job: "Job") -> None:
        """Show a state."""
        ...

    def close(self) -> None:
        """Show the last state permanently."""
        ...


def add_commands(commands: Any) -> None:
    """Add `watch` to the commands of `job`."""
    parser = add_command(commands, "watch", _watch, _HELP)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("provider_job_id", nargs="?", metavar="PROVIDER_JOB_ID")
    which.add_argument("--last", action="store_true", help="watch the newest job")
    add_backend(parser)
    add_json(parser, "print each state as a JSON object in one line")


def _watch(options: argparse.Namespace) -> int:
    with tracker_for_reading(options) as tracker:
        job_id = options.provider_job_id
        if options.last:
            job_id = newest_job(tracker).provider_job_id
        status = ""
        with closing(tracker.watch(job_id)) as states, _opened(options) as display:
            for job in states:
                display.show(job)
                status = job.status
    if status == "succeeded":
        return FINE
    if status == "failed" and not options.json:
        print_line(f"for the reason, run: trackerapi job show {shell_word(job_id)}")
    return UNSUCCESSFUL


@contextmanager
def _opened(options: argparse.Namespace) -> Generator[_Display]:
    display: _Display
    if options.json:
        display = _JsonLines()
    elif has_movable_cursor(sys.stdout, os.environ):
        display = _LiveRows()
    else:
        display = _Lines()
    with closing(display):
        yield display


class _JsonLines:
    """One JSON object a state."""

    def show(self, job: "Job") -> None:
        """Print a state at once."""
        print_json(dataclasses.asdict(job), in_one_line=True)
        flush_stdout()

    def close(self) -> None:
        """Do nothing: all states are printed."""


class _Lines:
    """A line at each change of a status, and a line at intervals."""

    def __init__(self) -> None:
        self._statuses: list[str] = []
        self._next_at = 0.0

    def show(self, job: "Job") -> None:
        """Print a state if a status has changed or a line is due."""
        statuses = [job.status, *(step.status for step in job.steps)]
        now = steady_seconds()
        if statuses != self._statuses or now >= self._next_at:
            self._statuses, self._next_at = statuses, now + LINE_SECONDS
            print_line(job_line(job))
            flush_stdout()

    def close(self) -> None:
        """Do nothing: the end of a job changes its status."""


class _LiveRows:
    """Bar and steps, drawn again at each state."""

    def __init__(self) -> None:
        output = Output(sys.stdout)
        self._screen = Screen(output)
        has_colours = not os.environ.get("NO_COLOR")
        self._rows = JobRows(output.encoding, has_colours=has_colours)
        self._job: Job | None = None

    def show(self, job: "Job") -> None:
        """Draw a state."""
        self._job = job
        self._screen.draw(self._drawn(job))

    def close(self) -> None:
        """Leave the last state on the terminal."""
        if self._job is not None:
            self._screen.print_lines(self._drawn(self._job))
        self._screen.close()

    def _drawn(self, job: "Job") -> list[str]:
        columns, rows = self._screen.size
        height = max(rows - _SPARE_ROWS, 2)
        return self._rows.rows(job, steady_seconds(), columns, height)
