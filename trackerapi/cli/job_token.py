"""Command `job token`: prints a token, a key that is valid for one job only."""

import argparse
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from trackerapi.cli.argument_types import moment
from trackerapi.cli.exit_statuses import FINE
from trackerapi.cli.options import add_backend, add_command
from trackerapi.cli.printing import print_secret
from trackerapi.cli.reporting import add_job, job_of, tracker_for_reading
from trackerapi.errors import BackendError, one_line
from trackerapi.settings.api_key import key_id_of
from trackerapi.settings.job_token import JobToken

if TYPE_CHECKING:
    from trackerapi.tracker import TrackerApi

_MAX_TOKEN_LENGTH: Final = 2_000

_HELP: Final = """\
Print a token for a job: a key for only this job.

To report to the job, another machine or container needs only the token and the address
of the backend. Treat the token as a secret. The backend must already know the job. If
the token cannot be printed, the exit status is 1, and the command expires the token if
your own key has the scope admin.

examples:
  export TRACKERAPI_JOB=$(trackerapi job token --job import-7)
  trackerapi job token --expires-at 2026-12-01T00:00:00Z
"""


def add_commands(commands: Any) -> None:
    """Add `token` to the commands of `job`."""
    parser = add_command(commands, "token", _token, _HELP)
    parser.add_argument(
        "--expires-at",
        metavar="TIME",
        type=moment,
        help="time at which the token expires; by default, the backend chooses the "
        "time",
    )
    add_job(parser)
    add_backend(parser)


def _token(options: argparse.Namespace) -> int:
    with tracker_for_reading(options) as tracker:
        job = job_of(tracker, options)

        def make() -> str:
            token = job.token(expires_at=options.expires_at)
            return one_line(token, _MAX_TOKEN_LENGTH)

        print_secret("the token", make, lambda token: _end_token(tracker, token))
    return FINE


def _end_token(tracker: "TrackerApi", token: str) -> str:
    """Expire a token that could not be printed; return a clause for the error text."""
    parsed = JobToken.parse(token)
    key_id = key_id_of(parsed.api_key) if parsed else None
    with suppress(BackendError):  # only a key with the scope admin may end a token
        if key_id is not None:
            tracker.admin.expire_api_key(key_id)
            return "it was ended"
    return "it was never shown, and expires by itself"
