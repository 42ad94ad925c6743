"""Asking the backend: whose key this is, how far a job is, a token for it."""

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any, Final

from trackerapi.commands.exits import FINE
from trackerapi.commands.options import add_backend, add_command, add_json, moment
from trackerapi.commands.reporting import add_job, job_of
from trackerapi.commands.terminal import moment_text, say, say_json
from trackerapi.errors import BackendRejected
from trackerapi.number_text import number_text, units_text
from trackerapi.projection import ALIVE
from trackerapi.tracker import TrackerApi

if TYPE_CHECKING:
    from trackerapi.answers import Job, JobStep


_ANOTHER_PLACE: Final = """\
Print a token for a job: a key for this job alone.

Another machine or container reports to the job with nothing but the token and the
address of the backend. Treat it as a secret. The backend has to know the job already.

examples:
  export TRACKERAPI_JOB=$(trackerapi job token --job import-7)
  trackerapi job token --expires-at 2026-12-01T00:00:00Z
"""


def add_commands(commands: Any) -> None:
    """Add `verify`."""
    verify = add_command(
        commands, "verify", _verify, "Tell whose key this is and what it may do."
    )
    add_backend(verify)
    add_json(verify)


def add_show(commands: Any) -> None:
    """Add `show` to the commands of a job."""
    show = add_command(
        commands, "show", _show_job, "Show how far a job is, and its steps."
    )
    which = show.add_mutually_exclusive_group(required=True)
    which.add_argument("provider_job_id", nargs="?", metavar="PROVIDER_JOB_ID")
    which.add_argument("--last", action="store_true", help="the newest job")
    add_backend(show)
    add_json(show)


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
    with _tracker(options) as tracker:
        owner = tracker.verify_api_key()
    if options.json:
        say_json({"base_url": tracker.base_url, **dataclasses.asdict(owner)})
        return FINE
    expires = moment_text(owner.expires_at) if owner.expires_at else "never"
    say(f"provider  {owner.provider_name} ({owner.provider_id})")
    say(f"key       {owner.key_id}")
    say(f"scopes    {', '.join(owner.scopes)}")
    say(f"expires   {expires}")
    if owner.provider_job_id is not None:
        say(f"job       {owner.provider_job_id} alone")
    say(f"backend   {tracker.base_url}")
    return FINE


def _show_job(options: argparse.Namespace) -> int:
    with _tracker(options) as tracker:
        if options.last:
            job = next(iter(tracker.list_jobs()), None)
            if job is None:
                raise BackendRejected("this provider has no job yet")
        else:
            job = tracker.get_job(options.provider_job_id)
    if options.json:
        say_json(dataclasses.asdict(job))
    else:
        _say_job(job)
    return FINE


def _token(options: argparse.Namespace) -> int:
    with _tracker(options) as tracker:
        say(job_of(tracker, options).token(expires_at=options.expires_at))
    return FINE


def _tracker(options: argparse.Namespace) -> TrackerApi:
    return TrackerApi(
        base_url=options.base_url,
        api_key_file=options.api_key_file,
        ca_file=options.ca_file,
    )


def _say_job(job: "Job") -> None:
    percent = "" if job.percent is None else f", {number_text(job.percent)} %"
    say(f"{job.name}: {job.status}{percent}")
    say(f"  id        {job.provider_job_id}")
    say(f"  customer  {job.customer_id}")
    say(f"  created   {moment_text(job.created_at)}")
    if job.finished_at:
        say(f"  finished  {moment_text(job.finished_at)}")
    for step in job.steps:
        say(_step_line(step))


def _step_line(step: "JobStep") -> str:
    is_over = step.status not in ALIVE
    counted = units_text(step.completed, step.total, is_over=is_over)
    units = f"  {counted}" if counted else ""
    tries = f"  attempt {step.attempts}" if step.attempts > 1 else ""
    return f"  [{step.status:>7}]  {step.name}{units}{tries}"
