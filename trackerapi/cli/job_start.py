"""The life of a job, from scripts in any language: `job start` to its end.

The commands of one job find it by `--job` or the variable `TRACKERAPI_JOB`.
"""

import argparse
import uuid
from typing import TYPE_CHECKING, Any, Final

from trackerapi.cli import job_show as jobs
from trackerapi.cli import verify as questions
from trackerapi.cli.argument_types import long_text, metadata_from
from trackerapi.cli.exit_statuses import FINE
from trackerapi.cli.options import add_command, customer_id
from trackerapi.cli.parser import add_group
from trackerapi.cli.printing import print_argument
from trackerapi.cli.reporting import (
    STATUSES,
    add_job,
    add_metadata,
    add_sending,
    job_of,
    report_tracker,
)

if TYPE_CHECKING:
    from trackerapi.config.job_config import JobConfig

_START: Final = f"""\
Create a job, or attach to the one that has its id, and print the id.

A restart that gives the same id, customer and tag goes on with its job. The job ends
by `job finish`, `job fail` or `job cancel`, unless `--finish auto` lets it succeed
once all its steps are done.

{STATUSES}
examples:
  export TRACKERAPI_JOB=$(trackerapi job start import --customer 142 --id import-7)
  trackerapi job start import --customer 142 --config job_configurations.json
"""

_FINISH: Final = f"""\
Report that a job has succeeded.

Steps that were never reached are not run.

{STATUSES}
examples:
  trackerapi job finish
  trackerapi job finish --remarks "3 of 120 pictures could not be read"
"""

_FAIL: Final = f"""\
Report that a job has failed.

The customer reads a neutral sentence, or the one given; what is given as detail only
you read.

{STATUSES}
examples:
  trackerapi job fail --detail "line 12 ended with status 1"
  tail -n 50 job.log | trackerapi job fail --detail -
  trackerapi job fail --customer-text "Two of the files cannot be opened."
"""

_CANCEL: Final = f"""\
Report that a job was cancelled.

{STATUSES}
examples:
  trackerapi job cancel --reason "Ordered twice"
"""


def add_commands(commands: Any) -> None:
    """Add `job` and what there is to do with one."""
    job = commands.add_parser("job", help="begin and end a job, ask about it")
    job_commands = add_group(job)
    _add_start(job_commands)
    finish = add_command(job_commands, "finish", _finish, _FINISH)
    finish.add_argument(
        "--remarks", metavar="TEXT", type=str, help="what the customer reads"
    )
    fail = add_command(job_commands, "fail", _fail, _FAIL)
    fail.add_argument(
        "--customer-text",
        "--customer",
        metavar="TEXT",
        type=str,
        help="what the customer reads; a neutral sentence without it",
    )
    fail.add_argument(
        "--detail",
        metavar="TEXT",
        type=str,
        help="what only you read; - reads it from stdin",
    )
    cancel = add_command(job_commands, "cancel", _cancel, _CANCEL)
    cancel.add_argument(
        "--reason", metavar="TEXT", type=str, help="what the customer reads"
    )
    for parser in (finish, fail, cancel):
        add_job(parser)
        add_sending(parser)
    questions.add_token(job_commands)
    jobs.add_commands(job_commands)


def _add_start(commands: Any) -> None:
    start = add_command(commands, "start", _start, _START)
    start.add_argument(
        "tag", metavar="TAG", help="tag or display name of the job's configuration"
    )
    start.add_argument(
        "--customer",
        metavar="N",
        required=True,
        type=customer_id,
        help="id of the customer for whom the job is run",
    )
    start.add_argument(
        "--id",
        metavar="ID",
        help="your own id of the job; without it each start makes a new job",
    )
    start.add_argument(
        "--config", metavar="FILE", help="file of configurations that TAG is in"
    )
    start.add_argument(
        "--finish",
        choices=("explicit", "auto"),
        default="explicit",
        help="how the job succeeds: by `job finish`, or once all steps are done",
    )
    add_metadata(start)
    add_sending(start)


def _start(options: argparse.Namespace) -> int:
    config = _config_of(options)
    with report_tracker(options) as tracker:
        job = tracker.create_job(
            str(uuid.uuid4()) if options.id is None else options.id,
            options.customer,
            options.tag,
            config=config,
            finish=options.finish,
            metadata=metadata_from(options.metadata_json, options.metadata),
        )
        job.begin_block()
        print_argument(job.provider_job_id)
    return FINE


def _config_of(options: argparse.Namespace) -> "JobConfig | None":
    if options.config is None:
        return None
    from trackerapi.config.manager import JobConfigManager

    return JobConfigManager(options.config).get_job_config(options.tag)


def _finish(options: argparse.Namespace) -> int:
    with report_tracker(options) as tracker:
        job_of(tracker, options).complete(options.remarks)
    return FINE


def _fail(options: argparse.Namespace) -> int:
    with report_tracker(options) as tracker:
        job = job_of(tracker, options)
        job.fail(options.customer_text, long_text(options.detail))
    return FINE


def _cancel(options: argparse.Namespace) -> int:
    with report_tracker(options) as tracker:
        job_of(tracker, options).cancel(options.reason)
    return FINE
