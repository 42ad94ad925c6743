"""Command `job start`: creates a job, and reports that the job runs."""

import argparse
import uuid
from typing import TYPE_CHECKING, Any, Final

from trackerapi.cli.argument_types import customer_id, metadata_from
from trackerapi.cli.exit_statuses import FINE
from trackerapi.cli.options import add_command
from trackerapi.cli.printing import print_argument
from trackerapi.cli.reporting import (
    REPORT_STATUSES,
    add_metadata,
    add_sending,
    report_tracker,
)

if TYPE_CHECKING:
    from trackerapi.config.job_config import JobConfig

_HELP: Final = f"""\
Create a job, or attach to the existing job with the same id, and print the id.

After a restart, the same id, customer and tag continue the job. The job ends with
`job finish`, `job fail` or `job cancel`. With `--finish auto` it also succeeds once all
its steps are done.

{REPORT_STATUSES}
examples:
  export TRACKERAPI_JOB=$(trackerapi job start import --customer 142 --id import-7)
  trackerapi job start import --customer 142 --config job_configurations.json
"""


def add_commands(commands: Any) -> None:
    """Add `start` to the commands of `job`."""
    parser = add_command(commands, "start", _start, _HELP)
    parser.add_argument(
        "tag", metavar="TAG", help="tag or display name of the job's configuration"
    )
    parser.add_argument(
        "--customer",
        metavar="N",
        required=True,
        type=customer_id,
        help="id of the customer of the job",
    )
    parser.add_argument(
        "--id",
        metavar="ID",
        help="your own id of the job; without an id, each call makes a new job",
    )
    parser.add_argument(
        "--config", metavar="FILE", help="configuration file that describes TAG"
    )
    parser.add_argument(
        "--finish",
        choices=("explicit", "auto"),
        default="explicit",
        help="how the job succeeds: by `job finish`, or once all steps are done",
    )
    parser.add_argument(
        "--title",
        metavar="TEXT",
        help="name of this job for the customer, such as 'Brain MRI, 12 May'",
    )
    parser.add_argument(
        "--reference",
        metavar="TEXT",
        help="text that the customer quotes in questions about this job",
    )
    add_metadata(parser)
    add_sending(parser)


def _start(options: argparse.Namespace) -> int:
    from trackerapi.jobs.job import job_block

    config = _config_of(options)
    with report_tracker(options) as tracker:
        job = tracker.create_job(
            str(uuid.uuid4()) if options.id is None else options.id,
            options.customer,
            options.tag,
            config=config,
            finish=options.finish,
            metadata=metadata_from(options.metadata_json, options.metadata),
            title=options.title,
            reference=options.reference,
        )
        job_block(job).begin_block()
        print_argument(job.provider_job_id)
    return FINE


def _config_of(options: argparse.Namespace) -> "JobConfig | None":
    if options.config is None:
        return None
    from trackerapi.config.manager import JobConfigManager

    return JobConfigManager(options.config).get_job_config(options.tag)
