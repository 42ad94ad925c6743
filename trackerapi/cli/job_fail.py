"""Command `job fail`: reports the failure of a job."""

import argparse
from typing import Any, Final

from trackerapi.cli.argument_types import long_text
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
Report that a job has failed.

The customer reads a neutral sentence, or the text of --customer-text. Only you read the
text of --detail.

{REPORT_STATUSES}
examples:
  trackerapi job fail --detail "line 12 ended with status 1"
  tail -n 50 job.log | trackerapi job fail --detail -
  trackerapi job fail --customer-text "Two of the files cannot be opened."
"""


def add_commands(commands: Any) -> None:
    """Add `fail` to the commands of `job`."""
    parser = add_command(commands, "fail", _fail, _HELP)
    parser.add_argument(
        "--customer-text",
        "--customer",
        metavar="TEXT",
        type=str,
        help="text that the customer reads; a neutral sentence by default",
    )
    parser.add_argument(
        "--detail",
        metavar="TEXT",
        type=str,
        help="text that only you read; - reads it from stdin",
    )
    add_job(parser)
    add_sending(parser)


def _fail(options: argparse.Namespace) -> int:
    with report_tracker(options) as tracker:
        job = job_of(tracker, options)
        job.fail(options.customer_text, long_text(options.detail))
    return FINE
