"""Options, tracker and job of the commands that report or make read calls.

Reports succeed without a reachable backend. Events that are not delivered within
`shutdown_timeout` stay in the outbox for the next command, or for `trackerapi sync`.
"""

import argparse
import os
from typing import TYPE_CHECKING, Any, Final

from trackerapi.cli.argument_types import json_object, key_value
from trackerapi.cli.options import IS_STRICT, add_backend, add_outbox
from trackerapi.cli.printing import print_message
from trackerapi.cli.step_check import unknown_step
from trackerapi.errors import BackendRejected, SettingsError
from trackerapi.settings.job_token import JOB, JobToken
from trackerapi.settings.settings import DEFAULT_TIMEOUT_SECONDS, Settings
from trackerapi.tracker import TrackerApi

if TYPE_CHECKING:
    from trackerapi.jobs.job import TrackerJob
    from trackerapi.models import Job

_MAX_READ_SECONDS: Final = 3.0
"""Maximum time of delivery and step check together, in seconds."""

REPORT_STATUSES: Final = """\
exit status: 0 whatever the backend does, 2 wrong usage or settings. Reports that are
not delivered within TRACKERAPI_SHUTDOWN_TIMEOUT (2 s) stay in the outbox for the next
command, or for `trackerapi sync`.
"""
"""Part of the help of each command that reports."""


def add_job(parser: argparse.ArgumentParser) -> None:
    """Add `--job`."""
    parser.add_argument(
        "--job",
        metavar="ID",
        help=f"your id of the job, or its token; by default the value of {JOB}",
    )


def add_part(parser: argparse.ArgumentParser) -> None:
    """Add `--part`."""
    parser.add_argument(
        "--part",
        metavar="NAME",
        help="name of this worker, if several workers count units of one step: their "
        "counts add up",
    )


def add_metadata(parser: argparse.ArgumentParser) -> None:
    """Add the options for metadata."""
    parser.add_argument(
        "--metadata",
        metavar="KEY=VALUE",
        action="append",
        type=key_value,
        help="value that only you read; numbers, true and false are converted (can be "
        "repeated)",
    )
    parser.add_argument(
        "--metadata-json",
        metavar="OBJECT",
        type=json_object,
        help="values as a JSON object, such as '{\"size\": 3}'",
    )


def add_sending(parser: argparse.ArgumentParser) -> None:
    """Add the options for outbox, backend and the wait for delivery."""
    parser.add_argument(
        "--no-wait",
        action="store_true",
        help="leave the delivery to the next command, or to `trackerapi sync`",
    )
    add_outbox(parser)
    add_backend(parser)


def report_tracker(
    options: argparse.Namespace, *, is_lasting: bool = False
) -> TrackerApi:
    """Return the tracker of a command that reports.

    Args:
        options: Options of the command line.
        is_lasting: Whether the command runs long. Its requests then have the default
            time limit; otherwise the shutdown timeout, if that is shorter.

    Raises:
        SettingsError: If a setting is missing or invalid.
    """
    token = JobToken.parse(getattr(options, "job", None) or "")
    takes_token = token is not None and options.api_key_file is None
    api_key = token.api_key if token is not None and takes_token else None
    given: dict[str, Any] = {
        "api_key": api_key,
        "base_url": options.base_url,
        "api_key_file": options.api_key_file,
        "ca_file": options.ca_file,
        "outbox": options.outbox,
        "strict": IS_STRICT,
    }
    settings = Settings.resolve(given)
    seconds = settings.shutdown_timeout_seconds
    records_only = settings.mode == "online" and (options.no_wait or not seconds)
    timeout_seconds = None
    if not records_only and not is_lasting:
        timeout_seconds = min(seconds, DEFAULT_TIMEOUT_SECONDS) or None
    return TrackerApi(
        **given,
        mode="offline" if records_only else None,
        timeout_seconds=timeout_seconds,
    )


def warn_of_unknown_step(
    tracker: TrackerApi, job: "TrackerJob", step: str | None, began: float
) -> None:
    """Print a warning if the job has no such step.

    Blocks until the shutdown timeout has passed since `began`, but at most 3 s.

    Args:
        tracker: Tracker that reported the step; closed.
        job: Job of the step.
        step: Tag or display name from the command line; None for the job itself.
        began: Monotonic time of the start of the delivery.
    """
    settings = Settings.resolve({"mode": "off", "strict": IS_STRICT})
    limit = settings.shutdown_timeout_seconds
    deadline = began + min(limit, _MAX_READ_SECONDS)
    warning = unknown_step(tracker, job.provider_job_id, step, deadline)
    if warning is not None:
        print_message(warning)


def tracker_for_reading(options: argparse.Namespace) -> TrackerApi:
    """Return the tracker of a command that makes read calls.

    Raises:
        SettingsError: If a setting is missing or invalid.
    """
    return TrackerApi(
        base_url=options.base_url,
        api_key_file=options.api_key_file,
        ca_file=options.ca_file,
        strict=IS_STRICT,
    )


def newest_job(tracker: TrackerApi) -> "Job":
    """Return the newest job of the provider.

    Raises:
        BackendRejected: If the provider has no job.
        BackendError: If the backend gives no usable answer.
    """
    for job in tracker.list_jobs():
        return job
    raise BackendRejected("this provider has no job yet")


def job_of(tracker: TrackerApi, options: argparse.Namespace) -> "TrackerJob":
    """Return the handle of the job from the command line or the environment.

    Args:
        tracker: Tracker of the command.
        options: Options of the command line; `part`, if present, names this worker.

    Raises:
        SettingsError: If neither the command line nor the environment names a job.
        ValueError: If the text cannot be the id or token of a job.
    """
    if options.job is None and not os.environ.get(JOB, "").strip():
        raise SettingsError("no job; pass --job, or set this variable", JOB)
    part: str | None = getattr(options, "part", None)
    job = tracker.attach(options.job, part=part)
    from trackerapi.jobs.job import job_block

    # Without --part, remove the name that `attach()` makes from this process: a rerun
    # would count as another worker, and the counts of both runs would add up.
    job_block(job).work.events.part = part
    return job
