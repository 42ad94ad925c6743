"""Asking the backend: whose key this is, and a token for a job."""

import argparse
import dataclasses
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from trackerapi.cli.exit_statuses import FINE, READ_STATUSES
from trackerapi.cli.options import add_backend, add_command, add_json, moment
from trackerapi.cli.printing import moment_text, print_json, print_line, print_secret
from trackerapi.cli.reporting import add_job, job_of, read_tracker
from trackerapi.errors import BackendError, one_line
from trackerapi.settings.api_key import key_id_of
from trackerapi.settings.job_token import JobToken

if TYPE_CHECKING:
    from trackerapi.tracker import TrackerApi

_LONGEST_TOKEN: Final = 2_000

_ANOTHER_PLACE: Final = """\
Print a token for a job: a key for this job alone.

Another machine or container reports to the job with nothing but the token and the
address of the backend. Treat it as a secret. The backend has to know the job already.
A token that cannot be printed is ended, and the exit status is 1.

examples:
  export TRACKERAPI_JOB=$(trackerapi job token --job import-7)
  trackerapi job token --expires-at 2026-12-01T00:00:00Z
"""


def add_commands(commands: Any) -> None:
    """Add `verify`."""
    verify = add_command(
        commands,
        "verify",
        _verify,
        f"Tell whose key this is and what it may do.\n\n{READ_STATUSES}",
    )
    add_backend(verify)
    add_json(verify)


def add_token(commands: Any) -> None:
    """Add `token` to the commands of a job."""
    token = add_command(commands, "token", _token, _ANOTHER_PLACE)
    token.add_argument(
        "--expires-at",
        metavar="TIME",
        type=moment,
        help="when it ends; without it, as the backend decides",
    )
    add_job(token)
    add_backend(token)


def _verify(options: argparse.Namespace) -> int:
    with read_tracker(options) as tracker:
        owner = tracker.verify_api_key()
    if options.json:
        print_json({"base_url": tracker.base_url, **dataclasses.asdict(owner)})
        return FINE
    expires = moment_text(owner.expires_at) if owner.expires_at else "never"
    print_line(f"provider  {one_line(owner.provider_name)} ({owner.provider_id})")
    print_line(f"key       {one_line(owner.key_id)}")
    print_line(f"scopes    {one_line(', '.join(owner.scopes))}")
    print_line(f"expires   {expires}")
    if owner.provider_job_id is not None:
        print_line(f"job       {one_line(owner.provider_job_id)} alone")
    print_line(f"backend   {tracker.base_url}")
    return FINE


def _token(options: argparse.Namespace) -> int:
    with read_tracker(options) as tracker:
        job = job_of(tracker, options)

        def make() -> str:
            token = job.token(expires_at=options.expires_at)
            return one_line(token, _LONGEST_TOKEN)

        print_secret("the token", make, lambda token: _ended(tracker, token))
    return FINE


def _ended(tracker: "TrackerApi", token: str) -> str:
    """End a token that nobody has seen; return what became of it."""
    parsed = JobToken.parse(token)
    key_id = key_id_of(parsed.api_key) if parsed else None
    with suppress(BackendError):  # only keys with the scope admin may end others
        if key_id is not None:
            tracker.admin.expire_api_key(key_id)
            return "it was ended"
    return "nobody has seen it; it ends by itself"
