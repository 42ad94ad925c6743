"""Group of commands `job`: each command has a module, `job start` has `job_start`."""

from typing import Any

from trackerapi.cli import (
    job_cancel,
    job_fail,
    job_finish,
    job_link,
    job_list,
    job_show,
    job_start,
    job_token,
    job_watch,
)
from trackerapi.cli.parser import add_group


def add_commands(commands: Any) -> None:
    """Add `job` and its commands."""
    job = commands.add_parser("job", help="start, end and show jobs")
    job_commands = add_group(job)
    job_start.add_commands(job_commands)
    job_finish.add_commands(job_commands)
    job_fail.add_commands(job_commands)
    job_cancel.add_commands(job_commands)
    job_token.add_commands(job_commands)
    job_show.add_commands(job_commands)
    job_watch.add_commands(job_commands)
    job_list.add_commands(job_commands)
    job_link.add_commands(job_commands)
