"""Command `job link`: makes a share link to the customer's page of a job."""

import argparse
from typing import Any, Final

from trackerapi.cli.argument_types import moment
from trackerapi.cli.exit_statuses import FINE, READ_STATUSES
from trackerapi.cli.options import add_backend, add_command
from trackerapi.cli.printing import print_secret
from trackerapi.cli.reporting import add_job, job_of, tracker_for_reading
from trackerapi.errors import UsageError, one_line

_HELP: Final = f"""\
Make a link to the customer's page of a job, and print its address.

Anybody with the address can see the page. The address is shown only once. The backend
must already know the job. Each call makes a new link, which expires after 30 days, or
at the time of --expires-at. If the address cannot be printed, the exit status is 1.

{READ_STATUSES}
examples:
  trackerapi job link import-7
  trackerapi job link --job import-7 --expires-at 2026-12-24T18:00:00+01:00
  trackerapi job link import-7 --label "For the ward" --language de
"""


def add_commands(commands: Any) -> None:
    """Add `link` to the commands of `job`."""
    parser = add_command(commands, "link", _link, _HELP)
    parser.add_argument("provider_job_id", nargs="?", metavar="PROVIDER_JOB_ID")
    parser.add_argument(
        "--expires-at",
        metavar="TIME",
        type=moment,
        help="time at which the link expires; by default in 30 days",
    )
    parser.add_argument(
        "--label", help="purpose of the link, which the page does not show"
    )
    parser.add_argument(
        "--language",
        choices=("en", "de"),
        help="language of the page; by default the language of the browser",
    )
    add_job(parser)
    add_backend(parser)


def _link(options: argparse.Namespace) -> int:
    if options.provider_job_id is not None:
        if options.job is not None:
            raise UsageError("give PROVIDER_JOB_ID or --job, not both")
        options.job = options.provider_job_id
    with tracker_for_reading(options) as tracker:
        job = job_of(tracker, options)
        print_secret(
            "the link",
            lambda: one_line(
                job.share_link(
                    expires_at=options.expires_at,
                    label=options.label,
                    language=options.language,
                )
            ),
            lambda _link: "it was never shown, and expires by itself",
        )
    return FINE
