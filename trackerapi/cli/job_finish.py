"""Command `job finish`: reports the success of a job."""

import argparse
from typing import Any, Final

from trackerapi.cli.exit_statuses import FINE
from trackerapi.cli.options import add_command
from trackerapi.cli.reporting import (
    REPORT_STATUSES,
    add_job,
    add_sending,
    job_of,
    report_tracker,
)

_HELP: Final = f"""\
Report that a job has succeeded.

Steps that were never started count as not run.

{REPORT_STATUSES}
examples:
  trackerapi job finish
  trackerapi job finish --remarks "3 of 120 pictures could not be read"
"""


def add_commands(commands: Any) -> None:
    """Add `finish` to the commands of `job`."""
    parser = add_command(commands, "finish", _finish, _HELP)
    parser.add_argument(
        "--remarks", metavar="TEXT", type=str, help="text that the customer reads"
    )
    add_job(parser)
    add_sending(parser)


def _finish(options: argparse.Namespace) -> int:
    with report_tracker(options) as tracker:
        job_of(tracker, options).complete(options.remarks)
    return FINE
