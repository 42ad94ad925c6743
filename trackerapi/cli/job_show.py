"""Commands `job show`, `job list` and `job link`: read calls about jobs."""

import argparse
import dataclasses
import itertools
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from trackerapi.cli.exit_statuses import FINE, READ_STATUSES
from trackerapi.cli.options import (
    add_backend,
    add_command,
    add_json,
    customer_id,
    moment,
    positive,
)
from trackerapi.cli.printing import (
    Table,
    moment_text,
    print_json,
    print_json_list,
    print_line,
    print_paragraph,
    print_secret,
)
from trackerapi.cli.reporting import add_job, job_of, read_tracker
from trackerapi.errors import BackendRejected, UsageError, one_line
from trackerapi.events.projection import ALIVE, unfinished_words
from trackerapi.number_text import number_text, units_text

if TYPE_CHECKING:
    from trackerapi.models import Job, JobEvent, JobStep

STATUSES: Final = (
    "pending",
    "running",
    "succeeded",
    "failed",
    "cancelled",
    "interrupted",
)

_REASONS: Final = {"failed": "error", "cancelled": "cancel", "interrupted": "interrupt"}
"""The kind of event that says why a job has a status."""

_HEADING: Final = ("ID", "STATUS", "PERCENT", "CUSTOMER", "TAG", "CREATED")
_NUMBERS: Final = frozenset({2, 3})

_SHOW: Final = f"""\
Show how far a job is, its steps, and why it failed.

Of a job that failed, was cancelled or was interrupted, the newest event that says why
is shown: the message that the customer reads, and the detail that only you read.

{READ_STATUSES}
examples:
  trackerapi job show import-7
  trackerapi job show --last --events
"""

_LIST: Final = f"""\
List jobs, newest first.

Each filter narrows the list; of several statuses, a job has to have one.

{READ_STATUSES}
examples:
  trackerapi job list --status failed --limit 20
  trackerapi job list --customer 142 --tag import --json
"""

_LINK: Final = f"""\
Make a link to the customer's page of a job, and print its address.

Whoever has the address sees the page; it is shown this once. The backend has to know
the job already. Each call makes a new link, which ends after 30 days unless
--expires-at says when. Where it cannot be printed, the exit status is 1.

{READ_STATUSES}
examples:
  trackerapi job link import-7
  trackerapi job link --job import-7 --expires-at 2026-12-24T18:00:00+01:00
"""


def add_commands(commands: Any) -> None:
    """Add `show`, `list` and `link` to the commands of a job."""
    show = add_command(commands, "show", _show, _SHOW)
    which = show.add_mutually_exclusive_group(required=True)
    which.add_argument("provider_job_id", nargs="?", metavar="PROVIDER_JOB_ID")
    which.add_argument("--last", action="store_true", help="the newest job")
    show.add_argument(
        "--events",
        action="store_true",
        help="also each event, with its metadata and detail",
    )
    add_backend(show)
    add_json(show)
    _add_list(commands)
    link = add_command(commands, "link", _link, _LINK)
    link.add_argument("provider_job_id", nargs="?", metavar="PROVIDER_JOB_ID")
    link.add_argument(
        "--expires-at",
        metavar="TIME",
        type=moment,
        help="when the link ends; without it, as the backend decides",
    )
    add_job(link)
    add_backend(link)


def _add_list(commands: Any) -> None:
    listing = add_command(commands, "list", _list, _LIST)
    listing.add_argument(
        "--customer", metavar="N", type=customer_id, help="only jobs of this customer"
    )
    listing.add_argument(
        "--status",
        action="append",
        choices=STATUSES,
        help="only jobs with this status (repeat it)",
    )
    listing.add_argument(
        "--tag", metavar="TAG", help="only jobs of the configuration with this tag"
    )
    listing.add_argument(
        "--limit", metavar="N", type=positive, help="at most so many; without it, all"
    )
    add_backend(listing)
    add_json(listing)


def _show(options: argparse.Namespace) -> int:
    with read_tracker(options) as tracker:
        if options.last:
            job = next(iter(tracker.list_jobs()), None)
            if job is None:
                raise BackendRejected("this provider has no job yet")
        else:
            job = tracker.get_job(options.provider_job_id)
        kind = _REASONS.get(job.status)
        events: Iterable[JobEvent] = ()
        if options.events or kind is not None:
            events = tracker.job(job.provider_job_id).events()
        if options.events:
            events = list(events)
        reason = _newest(kind, events)
        if options.json:
            _say_as_json(job, reason, events if options.events else None)
        else:
            _say_job(job, reason)
            if options.events:
                _say_events(job, events)
    return FINE


def _newest(kind: str | None, events: "Iterable[JobEvent]") -> "JobEvent | None":
    """Return the newest event of a kind; an error that was the last of its attempts."""
    of_kind = [event for event in events if event.kind == kind and not event.retrying]
    return max(of_kind, key=lambda e: (e.occurred_at, e.event_id), default=None)


def _say_as_json(
    job: "Job", reason: "JobEvent | None", events: "Iterable[JobEvent] | None"
) -> None:
    members = dataclasses.asdict(job)
    members["reason"] = None if reason is None else dataclasses.asdict(reason)
    if events is not None:
        members["events"] = [dataclasses.asdict(event) for event in events]
    print_json(members)


def _list(options: argparse.Namespace) -> int:
    wanted: dict[str, Any] = {
        "customer_id": options.customer,
        "status": options.status,
        "tag": options.tag,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    with read_tracker(options) as tracker:
        jobs = itertools.islice(tracker.list_jobs(**given), options.limit)
        if options.json:
            print_json_list(map(dataclasses.asdict, jobs))
            return FINE
        table = Table(_HEADING, numbers=_NUMBERS)
        for job in jobs:
            table.add(_row(job))
        if table.is_empty:
            print_line("no such job" if given else "this provider has no job yet")
        else:
            table.end()
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


def _link(options: argparse.Namespace) -> int:
    if options.provider_job_id is not None:
        if options.job is not None:
            raise UsageError("give PROVIDER_JOB_ID or --job, not both")
        options.job = options.provider_job_id
    with read_tracker(options) as tracker:
        job = job_of(tracker, options)
        print_secret(
            "the link",
            lambda: one_line(job.share_link(expires_at=options.expires_at)),
            lambda _link: "nobody has seen it; it ends by itself",
        )
    return FINE


def _say_job(job: "Job", reason: "JobEvent | None") -> None:
    percent = "" if job.percent is None else f", {number_text(job.percent)} %"
    print_line(f"{one_line(job.name)}: {one_line(job.status)}{percent}")
    print_line(f"  id        {one_line(job.provider_job_id)}")
    print_line(f"  customer  {job.customer_id}")
    print_line(f"  created   {moment_text(job.created_at)}")
    if job.finished_at:
        print_line(f"  finished  {moment_text(job.finished_at)}")
    statuses = [_step_status(job, step) for step in job.steps]
    width = max(7, *map(len, statuses), 0)
    for step, status in zip(job.steps, statuses, strict=True):
        print_line(_step_line(step, status.rjust(width)))
    if reason is not None:
        _say_reason(job, reason)


def _say_reason(job: "Job", reason: "JobEvent") -> None:
    step = _step_name(job, reason)
    of_step = f", step {step}" if step else ""
    print_line(
        f"  {one_line(job.status)} at {moment_text(reason.occurred_at)}{of_step}"
    )
    if reason.message:
        print_line("  the customer reads:")
        print_paragraph(reason.message, indent="    ")
    if reason.detail:
        print_line("  detail:")
        print_paragraph(reason.detail, indent="    ")
    if not reason.message and not reason.detail:
        print_line("  no reason was reported")


def _step_name(job: "Job", event: "JobEvent") -> str:
    if event.tag is None:
        return ""
    names = {step.tag: step.name for step in job.steps}
    return one_line(names.get(event.tag, event.tag))


def _say_events(job: "Job", events: "Iterable[JobEvent]") -> None:
    table = Table(("TIME", "KIND", "STEP", "WHAT WAS REPORTED"), numbers=frozenset())
    for event in events:
        what = [
            units_text(event.completed, event.total, is_over=True),
            "" if event.fraction is None else f"{number_text(event.fraction * 100)} %",
            "another attempt follows" if event.retrying else "",
            event.message or "",
            *(
                f"{key}={_as_json(value)}"
                for key, value in event.event_metadata.items()
            ),
            event.detail or "",
        ]
        row = (
            moment_text(event.occurred_at),
            one_line(event.kind),
            _step_name(job, event),
            one_line("; ".join(filter(None, what))),
        )
        table.add(row)
    table.end()


def _as_json(value: object) -> str:
    """Return a value of metadata: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _step_status(job: "Job", step: "JobStep") -> str:
    is_cut_off = step.status == "running" and job.finished_at is not None
    if step.status == "not_run" or is_cut_off:
        return unfinished_words(job.status, step.attempts)
    return one_line(step.status)


def _step_line(step: "JobStep", status: str) -> str:
    is_over = step.status not in ALIVE
    counted = units_text(step.completed, step.total, is_over=is_over)
    units = f"  {counted}" if counted else ""
    tries = f"  attempt {step.attempts}" if step.attempts > 1 else ""
    return f"  [{status}]  {one_line(step.name)}{units}{tries}"
