"""The command `trackerapi`: ask the backend from a shell.

Exit status: 0 fine, 1 the backend gave no usable answer, 2 wrong usage or settings,
3 the key was refused, 4 the backend knows no such thing or refused the request, 130
interrupted.
"""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from trackerapi import __version__
from trackerapi.errors import (
    AuthenticationError,
    BackendRejected,
    BackendUnavailable,
    SettingsError,
    TrackerError,
)
from trackerapi.tracker import TrackerApi

if TYPE_CHECKING:
    from trackerapi.answers import Job, JobStep

FINE, UNAVAILABLE, USAGE, KEY_REFUSED, REFUSED = range(5)
INTERRUPTED = 130

_STATUS_OF: dict[type[Exception], int] = {
    SettingsError: USAGE,
    ValueError: USAGE,
    AuthenticationError: KEY_REFUSED,
    BackendRejected: REFUSED,
    BackendUnavailable: UNAVAILABLE,
}

_EXIT_STATUSES = """\
exit status:
  0  fine
  1  the backend gave no usable answer
  2  wrong usage or settings
  3  the key was refused
  4  the backend knows no such thing or refused the request
  130  interrupted

settings (an option goes before its variable):
  TRACKERAPI_BASE_URL, TRACKERAPI_API_KEY or TRACKERAPI_API_KEY_FILE,
  TRACKERAPI_CA_FILE; proxies from the usual variables
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = build_parser().parse_args(argv)
    run: Callable[[TrackerApi, argparse.Namespace], int] = options.run
    try:
        with TrackerApi(
            base_url=options.base_url,
            api_key_file=options.api_key_file,
            ca_file=options.ca_file,
        ) as tracker:
            status = run(tracker, options)
            sys.stdout.flush()  # here, where it is known what a failure means
            return status
    except (TrackerError, ValueError) as error:
        print(f"trackerapi: {error}", file=sys.stderr)
        kinds = (
            status for kind, status in _STATUS_OF.items() if isinstance(error, kind)
        )
        return next(kinds, USAGE)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough; what is left must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(
        prog="trackerapi",
        description="Ask a tracker backend about keys and jobs.",
        epilog=_EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--base-url", metavar="URL", help="address of the backend")
    shared.add_argument("--api-key-file", metavar="FILE", help="file with the key")
    shared.add_argument("--ca-file", metavar="FILE", help="certificates to trust")
    shared.add_argument("--json", action="store_true", help="print JSON")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    verify = commands.add_parser(
        "verify", parents=[shared], help="tell whose key this is and what it may do"
    )
    verify.set_defaults(run=_verify)

    job = commands.add_parser("job", help="ask about a job")
    job_commands = job.add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    show = job_commands.add_parser(
        "show", parents=[shared], help="show how far a job is, and its steps"
    )
    which = show.add_mutually_exclusive_group(required=True)
    which.add_argument("provider_job_id", nargs="?", metavar="PROVIDER_JOB_ID")
    which.add_argument("--last", action="store_true", help="the newest job")
    show.set_defaults(run=_show_job)
    return parser


def _verify(tracker: TrackerApi, options: argparse.Namespace) -> int:
    owner = tracker.verify_api_key()
    if options.json:
        print(_as_json({"base_url": tracker.base_url, **dataclasses.asdict(owner)}))
        return FINE
    print(f"provider  {owner.provider_name} ({owner.provider_id})")
    print(f"key       {owner.key_id}")
    print(f"scopes    {', '.join(owner.scopes)}")
    print(f"expires   {_moment(owner.expires_at) if owner.expires_at else 'never'}")
    print(f"backend   {tracker.base_url}")
    return FINE


def _show_job(tracker: TrackerApi, options: argparse.Namespace) -> int:
    if options.last:
        job = next(iter(tracker.list_jobs()), None)
        if job is None:
            raise BackendRejected("this provider has no job yet")
    else:
        job = tracker.get_job(options.provider_job_id)
    print(_as_json(dataclasses.asdict(job)) if options.json else _as_text(job))
    return FINE


def _as_text(job: "Job") -> str:
    percent = "" if job.percent is None else f", {job.percent:g} %"
    lines = [
        f"{job.name}: {job.status}{percent}",
        f"  id        {job.provider_job_id}",
        f"  customer  {job.customer_id}",
        f"  created   {_moment(job.created_at)}",
    ]
    if job.finished_at:
        lines.append(f"  finished  {_moment(job.finished_at)}")
    return "\n".join([*lines, *map(_step_line, job.steps)])


def _step_line(step: "JobStep") -> str:
    units = ""
    if step.completed is not None:
        units = f"  {step.completed:g}"
        units += f" of {step.total:g}" if step.total is not None else ""
    tries = f"  attempt {step.attempts}" if step.attempts > 1 else ""
    return f"  [{step.status:>7}]  {step.name}{units}{tries}"


def _moment(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def _as_json(members: dict[str, Any]) -> str:
    return json.dumps(members, indent=2, default=_json_text, ensure_ascii=False)


def _json_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


if __name__ == "__main__":
    raise SystemExit(main())
