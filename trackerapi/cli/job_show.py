"""Command `job show`: prints a job, its steps, its events and the reason of its end."""

import argparse
import dataclasses
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from trackerapi.cli.exit_statuses import FINE, READ_STATUSES
from trackerapi.cli.options import add_backend, add_command, add_json
from trackerapi.cli.printing import (
    Table,
    moment_text,
    print_json,
    print_line,
    print_paragraph,
)
from trackerapi.cli.reporting import newest_job, tracker_for_reading
from trackerapi.errors import one_line
from trackerapi.events.projection import ALIVE, unfinished_words
from trackerapi.number_text import (
    attempt_text,
    failed_text,
    number_text,
    units_text,
)

if TYPE_CHECKING:
    from trackerapi.models import Job, JobEvent, JobStep

_REASON_KINDS: Final = {
    "failed": "error",
    "cancelled": "cancel",
    "interrupted": "interrupt",
}
"""Kind of the event that gives the reason of a job's end, by status of the job."""

_HELP: Final = f"""\
Show the progress of a job, its steps, and the reason of a failure.

If the job failed, was cancelled or was interrupted, the reason is shown: the message
that the customer reads, and the detail that only you read.

{READ_STATUSES}
examples:
  trackerapi job show import-7
  trackerapi job show --last --events
"""


def add_commands(commands: Any) -> None:
    """Add `show` to the commands of `job`."""
    parser = add_command(commands, "show", _show, _HELP)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("provider_job_id", nargs="?", metavar="PROVIDER_JOB_ID")
    which.add_argument("--last", action="store_true", help="show the newest job")
    parser.add_argument(
        "--events",
        action="store_true",
        help="also show each event, with its metadata and detail",
    )
    add_backend(parser)
    add_json(parser)


def _show(options: argparse.Namespace) -> int:
    with tracker_for_reading(options) as tracker:
        if options.last:
            job = newest_job(tracker)
        else:
            job = tracker.get_job(options.provider_job_id)
        kind = _REASON_KINDS.get(job.status)
        events: Iterable[JobEvent] = ()
        if options.events or kind is not None:
            events = tracker.job(job.provider_job_id).events()
        if options.events:
            events = list(events)
        reason = _newest(kind, events)
        if options.json:
            _print_as_json(job, reason, events if options.events else None)
        else:
            _print_job(job, reason)
            if options.events:
                _print_events(job, events)
    return FINE


def _newest(kind: str | None, events: "Iterable[JobEvent]") -> "JobEvent | None":
    """Return the newest event of a kind; None if the job has no such event.

    Errors with `retrying` are left out: another attempt follows them.
    """
    of_kind = [event for event in events if event.kind == kind and not event.retrying]
    return max(of_kind, key=lambda e: (e.occurred_at, e.event_id), default=None)


def _print_as_json(
    job: "Job", reason: "JobEvent | None", events: "Iterable[JobEvent] | None"
) -> None:
    members = dataclasses.asdict(job)
    members["reason"] = None if reason is None else dataclasses.asdict(reason)
    if events is not None:
        members["events"] = [dataclasses.asdict(event) for event in events]
    print_json(members)


def _print_job(job: "Job", reason: "JobEvent | None") -> None:
    percent = "" if job.percent is None else f", {number_text(job.percent)} %"
    print_line(f"{one_line(job.name)}: {one_line(job.status)}{percent}")
    print_line(f"  id        {one_line(job.provider_job_id)}")
    print_line(f"  customer  {job.customer_id}")
    for name, text in (("title", job.title), ("reference", job.reference)):
        if text is not None:
            print_line(f"  {name:<9} {one_line(text)}")
    print_line(f"  created   {moment_text(job.created_at)}")
    if job.finished_at:
        print_line(f"  finished  {moment_text(job.finished_at)}")
    statuses = [_step_status(job, step) for step in job.steps]
    width = max(7, *map(len, statuses), 0)
    for step, status in zip(job.steps, statuses, strict=True):
        print_line(_step_line(step, status.rjust(width)))
    if reason is not None:
        _print_reason(job, reason)


def _print_reason(job: "Job", reason: "JobEvent") -> None:
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
    step = _step_of(job, event)
    return one_line(step.name if step else event.tag or "")


def _step_of(job: "Job", event: "JobEvent") -> "JobStep | None":
    return next((step for step in job.steps if step.tag == event.tag), None)


def _print_events(job: "Job", events: "Iterable[JobEvent]") -> None:
    table = Table(("TIME", "KIND", "STEP", "WHAT WAS REPORTED"), numbers=frozenset())
    for event in events:
        step = _step_of(job, event)
        units = step.units if step else None
        details = [
            units_text(event.completed, event.total, units, is_over=True),
            failed_text(event.failed),
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
            one_line("; ".join(filter(None, details))),
        )
        table.add(row)
    table.flush()


def _as_json(value: object) -> str:
    """Return a value of metadata as text: strings unchanged, other values as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _step_status(job: "Job", step: "JobStep") -> str:
    is_cut_off = step.status == "running" and job.finished_at is not None
    if step.status == "not_run" or is_cut_off:
        return unfinished_words(job.status, step.attempts)
    return one_line(step.status)


def _step_line(step: "JobStep", status: str) -> str:
    is_over = step.status not in ALIVE
    counted = units_text(step.completed, step.total, step.units, is_over=is_over)
    tries = attempt_text(step.attempts, step.max_attempts)
    texts = (one_line(step.name), counted, failed_text(step.failed), tries)
    return "  ".join([f"  [{status}]", *filter(None, texts)])
