"""Command `job cancel`: reports the cancellation of a job."""

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
Report that a job was cancelled.

{REPORT_STATUSES}
examples:
  trackerapi job cancel --reason "Ordered twice"
"""


def add_commands(commands: Any) -> None:
    """Add `cancel` to the commands of `job`."""
    parser = add_command(commands, "cancel", _cancel, _HELP)
    parser.add_argument(
        "--reason", metavar="TEXT", type=str, help="text that the customer reads"
    )
    add_job(parser)
    add_sending(parser)


def _cancel(options: argparse.Namespace) -> int:
    with report_tracker(options) as tracker:
        job_of(tracker, options).cancel(options.reason)
    return FINE
