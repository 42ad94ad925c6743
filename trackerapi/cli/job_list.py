"""Command `job list`: prints the jobs of the provider, newest first."""

import argparse
import dataclasses
import itertools
import sys
from typing import TYPE_CHECKING, Any, Final

from trackerapi.cli.argument_types import customer_id, positive_integer
from trackerapi.cli.exit_statuses import FINE, READ_STATUSES
from trackerapi.cli.options import add_backend, add_command, add_json
from trackerapi.cli.printing import Table, moment_text, print_json_list, print_line
from trackerapi.cli.reporting import tracker_for_reading
from trackerapi.errors import one_line
from trackerapi.number_text import number_text

if TYPE_CHECKING:
    from trackerapi.models import Job

_STATUSES: Final = (
    "pending",
    "running",
    "succeeded",
    "failed",
    "cancelled",
    "interrupted",
)
_HEADING: Final = ("ID", "STATUS", "PERCENT", "CUSTOMER", "TAG", "CREATED")
_NUMBERS: Final = frozenset({2, 3})

_HELP: Final = f"""\
List jobs, newest first.

The list contains only jobs that match all given options. If --status is repeated, a
job must have one of the given statuses.

{READ_STATUSES}
examples:
  trackerapi job list --status failed --limit 20
  trackerapi job list --customer 142 --tag import --json
"""


def add_commands(commands: Any) -> None:
    """Add `list` to the commands of `job`."""
    parser = add_command(commands, "list", _list, _HELP)
    parser.add_argument(
        "--customer", metavar="N", type=customer_id, help="only jobs of this customer"
    )
    parser.add_argument(
        "--status",
        action="append",
        choices=_STATUSES,
        help="only jobs with this status (can be repeated)",
    )
    parser.add_argument(
        "--tag", metavar="TAG", help="only jobs of the configuration with this tag"
    )
    parser.add_argument(
        "--limit",
        metavar="N",
        type=positive_integer,
        help="print at most N jobs; all by default",
    )
    add_backend(parser)
    add_json(parser)


def _list(options: argparse.Namespace) -> int:
    wanted: dict[str, Any] = {
        "customer_id": options.customer,
        "status": options.status,
        "tag": options.tag,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    with tracker_for_reading(options) as tracker:
        limit = None if options.limit is None else min(options.limit, sys.maxsize)
        jobs = itertools.islice(tracker.list_jobs(**given), limit)
        if options.json:
            print_json_list(map(dataclasses.asdict, jobs))
            return FINE
        table = Table(_HEADING, numbers=_NUMBERS)
        for job in jobs:
            table.add(_row(job))
        if table.is_empty:
            print_line("no such job" if given else "this provider has no job yet")
        else:
            table.flush()
    return FINE


def _row(job: "Job") -> tuple[str, ...]:
    return (
        one_line(job.provider_job_id),
        one_line(job.status),
        "" if job.percent is None else f"{number_text(job.percent)} %",
        str(job.customer_id),
        one_line(job.tag),
        moment_text(job.created_at),
    )
