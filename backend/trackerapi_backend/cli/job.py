"""`trackerapi-backend job`: erasure of jobs."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from trackerapi_backend.cli.arguments import (
    add_group,
    add_provider_options,
    plain_text,
    whole_number,
)
from trackerapi_backend.cli.database import find_known_provider, set_command
from trackerapi_backend.cli.erasing import add_yes_option, confirm, erase_once
from trackerapi_backend.settings import SettingsError
from trackerapi_backend.store.erasure import find_erasure, find_erasure_of_name
from trackerapi_backend.store.jobs import find_job_by_provider_job_id
from trackerapi_backend.store.schema import MAX_ID

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from datetime import datetime

    from sqlalchemy import Connection

    from trackerapi_backend.cli.database import Database
    from trackerapi_backend.generated import models
    from trackerapi_backend.pepper import PepperFile
    from trackerapi_backend.requests.call import Services


def add_arguments(parser: ArgumentParser) -> None:
    """Add the actions of `job`."""
    actions = add_group(parser, "ACTION")
    erase = actions.add_parser(
        "erase", help="erase a job with its events, links and tokens for good"
    )
    add_provider_options(erase)
    erase.add_argument(
        "job_id",
        nargs="?",
        type=_job_id,
        metavar="JOB_ID",
        help="id at the backend, as in the audit log",
    )
    erase.add_argument(
        "--provider-job-id",
        type=plain_text,
        metavar="NAME",
        help="id at the provider, as in `trackerapi job list`, instead of JOB_ID",
    )
    add_yes_option(erase)
    set_command(erase, erase_job, _check_and_confirm)


def _job_id(text: str) -> int:
    try:
        return whole_number(text, 1, MAX_ID)
    except ArgumentTypeError as error:
        raise ArgumentTypeError(
            f"{error}: give the id of the provider with --provider-job-id"
        ) from None


def _check_and_confirm(options: Namespace) -> None:
    if (options.job_id is None) == (options.provider_job_id is None):
        raise SettingsError("name one job: give JOB_ID or --provider-job-id")
    confirm(options)


def erase_job(options: Namespace, database: Database) -> None:
    """Erase a job; print the backups and files that may still have its data.

    Raises:
        SettingsError: If the provider does not exist, or has and had no such job.
        Problem: If the erasure cannot be recorded.
    """
    provider_id, job_id = database.read(lambda db: _find(db, options))

    async def erase(services: Services) -> models.Erasure:
        from trackerapi_backend.jobs.erasure import Eraser
        from trackerapi_backend.requests.call import require

        eraser = Eraser(services=services, provider_id=provider_id, key_id=None)
        return await eraser.erase_job(require(job_id, "job"))

    def find(pepper: PepperFile, db: Connection) -> datetime | None:
        if job_id is not None:
            return find_erasure(db, provider_id, job_id=job_id)
        name_hmac = pepper.read().hash_job_name(provider_id, options.provider_job_id)
        return find_erasure_of_name(db, provider_id, name_hmac)

    erase_once(database, erase, find)


def _find(db: Connection, options: Namespace) -> tuple[int, int | None]:
    """Return the id of the provider and the id of the job; None for an unknown name."""
    provider_id = find_known_provider(db, options.provider)
    if options.job_id is not None:
        return provider_id, options.job_id
    job = find_job_by_provider_job_id(db, provider_id, options.provider_job_id)
    return provider_id, None if job is None else job.id
