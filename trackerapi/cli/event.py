"""Command `event`: reports one event of a job, from a script in any language."""

import argparse
import time
from typing import Any, Final

from trackerapi.cli.argument_types import (
    long_text,
    metadata_from,
    number,
    positive_integer,
)
from trackerapi.cli.exit_statuses import FINE
from trackerapi.cli.options import add_command
from trackerapi.cli.reporting import (
    REPORT_STATUSES,
    add_job,
    add_metadata,
    add_part,
    add_sending,
    job_of,
    report_tracker,
    warn_of_unknown_step,
)
from trackerapi.errors import UsageError
from trackerapi.events.event import kind_of

_HELP: Final = f"""\
Report one event of a job.

An event is about the step that --step names or, without --step, about the job. Kinds:
  start      the step or job has started
  progress   progress of the step: --completed and --total, or --fraction; --failed
  step       the step is done
  skip       the step is not needed; --message gives the reason
  error      the step or job failed; with --retrying, the step is attempted again,
             and --max-attempts is the maximum number of attempts
  complete   the job has succeeded; with --step, the step is done
  cancel     the job was cancelled
  interrupt  the job was stopped from outside, and is expected to continue
  info       a line in the timeline
  heartbeat  the job is alive
Any other kind is shown like info.

{REPORT_STATUSES}
examples:
  trackerapi event start --step convert
  trackerapi event progress --step convert --completed 40 --total 120
  trackerapi event step --step convert --metadata files=120 --metadata size=3.5
  trackerapi event error --step convert --retrying --max-attempts 3
  trackerapi event info --message "Waiting for the second half of the files"
"""


def add_commands(commands: Any) -> None:
    """Add `event`."""
    parser = add_command(commands, "event", _event, _HELP)
    parser.add_argument("kind", metavar="KIND", help="kind of the event; see above")
    parser.add_argument(
        "--step", metavar="TAG", help="tag of the step, for an event about a step"
    )
    parser.add_argument(
        "--message", metavar="TEXT", type=str, help="text that the customer reads"
    )
    parser.add_argument(
        "--detail",
        metavar="TEXT",
        type=str,
        help="text that only you read; - reads it from stdin",
    )
    parser.add_argument(
        "--completed", metavar="N", type=number, help="completed units of the step"
    )
    parser.add_argument(
        "--total", metavar="N", type=number, help="total number of units of the step"
    )
    parser.add_argument(
        "--fraction", metavar="F", type=number, help="completed share, 0 to 1"
    )
    parser.add_argument(
        "--failed",
        metavar="N",
        type=number,
        help="how many of the completed units failed",
    )
    parser.add_argument(
        "--retrying", action="store_true", help="the step is attempted again"
    )
    parser.add_argument(
        "--max-attempts",
        metavar="N",
        type=positive_integer,
        help="maximum number of attempts at the step, with the failed ones",
    )
    add_part(parser)
    add_metadata(parser)
    add_job(parser)
    add_sending(parser)


def _event(options: argparse.Namespace) -> int:
    _check(options)
    detail, began = long_text(options.detail), time.monotonic()
    with report_tracker(options) as tracker:
        job = job_of(tracker, options)
        job.send_event(
            kind=options.kind,
            tag=options.step,
            metadata=metadata_from(options.metadata_json, options.metadata),
            message=options.message,
            detail=detail,
            completed=options.completed,
            total=options.total,
            fraction=options.fraction,
            retrying=options.retrying,
            part=options.part,
            failed=options.failed,
            max_attempts=options.max_attempts,
        )
    warn_of_unknown_step(tracker, job, options.step, began)
    return FINE


def _check(options: argparse.Namespace) -> None:
    """Check the combination of the options; argparse checks each option alone.

    Raises:
        UsageError: If the options contradict each other.
    """
    kind = kind_of(options.kind)
    if options.step is None and (kind.needs_step or options.retrying):
        raise UsageError(f"{options.kind!r} is about a step; name it by --step")
    if options.step is not None and kind.is_of_job:
        raise UsageError(f"{options.kind!r} is about the job; leave out --step")
    units = (options.completed, options.total)
    if options.fraction is not None and units != (None, None):
        raise UsageError("give --fraction, or --completed and --total, not both")
