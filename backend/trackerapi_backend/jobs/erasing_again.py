"""Repetition of recorded erasures on a database that was restored from a backup."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from starlette.concurrency import run_in_threadpool

from trackerapi_backend.jobs.erasure import Eraser, purge
from trackerapi_backend.store import customers as stored_customers
from trackerapi_backend.store import erasure
from trackerapi_backend.store.audit_log import record_change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from trackerapi_backend.pepper import PepperFile
    from trackerapi_backend.requests.call import Services
    from trackerapi_backend.store.erasures_file import ErasedObject

JOBS_PER_QUERY = 1000
NAMES_PER_TRANSACTION = 500


class ErasedAgain(NamedTuple):
    """Result of `erase_again()`.

    Attributes:
        jobs: Number of erased jobs.
        customers: Number of erased customers.
        skipped: Number of lines of another installation, which were not applied.
        residue: Reason why bytes of erased rows may still be in the files of the
            database; None if they were removed.
    """

    jobs: int
    customers: int
    skipped: int
    residue: str | None


async def erase_again(
    services: Services, erased: Sequence[ErasedObject]
) -> ErasedAgain:
    """Erase the stored jobs and customers for which a file records an erasure.

    The HMAC of each recorded job name is stored too, so that no script can create the
    job again. The id of each recorded customer that is not stored gets an entry in the
    audit log, so that no new customer gets the id. Lines of unknown providers are
    skipped, and so are lines of another installation, in which the same id may belong
    to another customer.

    A job is found by its id or by the HMAC of its name: if the backup is older than the
    job, a script may have created the job again with another id. A customer is found by
    its id if the customer was created before the erasure: a later customer may have got
    the same id. A row that another process erases meanwhile counts for that process.

    Args:
        services: Services of the database.
        erased: Lines of the file of erasures.
    """
    read = services.store.read
    providers = await run_in_threadpool(read, erasure.list_providers)
    own = services.pepper.read().installation
    ours = [each for each in erased if each.installation in (own, None)]
    known = [each for each in ours if each.provider_id in providers]
    await _close_names(services, [each for each in known if each.kind == "job"])
    found = await run_in_threadpool(_find_jobs, services, known)
    jobs, customers = 0, 0
    for provider_id, job_id, name in found:
        jobs += await _eraser(services, provider_id).erase_named(job_id, name)
    for each in known:
        if each.customer_id is not None and await run_in_threadpool(
            read, partial(_is_stored, each)
        ):
            eraser = _eraser(services, each.provider_id)
            count = await eraser.erase_found_customer(each.customer_id)
            if count is not None:
                jobs, customers = jobs + count, customers + 1
    await _close_ids(services, [each for each in known if each.kind == "customer"])
    residue = await purge(services)
    return ErasedAgain(jobs, customers, len(erased) - len(ours), residue)


def _eraser(services: Services, provider_id: int) -> Eraser:
    return Eraser(
        services=services, provider_id=provider_id, key_id=None, is_again=True
    )


async def _close_names(services: Services, jobs: Sequence[ErasedObject]) -> None:
    for first in range(0, len(jobs), NAMES_PER_TRANSACTION):
        batch = jobs[first : first + NAMES_PER_TRANSACTION]
        await services.writer.write(partial(_record_names, batch))


def _record_names(jobs: Sequence[ErasedObject], db: Connection) -> None:
    for job in jobs:
        erasure.record_name(db, job.provider_id, job.name_digest, now=job.erased_at)


async def _close_ids(services: Services, lines: Sequence[ErasedObject]) -> None:
    for first in range(0, len(lines), NAMES_PER_TRANSACTION):
        batch = lines[first : first + NAMES_PER_TRANSACTION]
        await services.writer.write(partial(_record_ids, batch))


def _record_ids(lines: Sequence[ErasedObject], db: Connection) -> None:
    for line in lines:
        customer_id = line.customer_id or 0
        if not stored_customers.customer_exists(db, customer_id) and (
            erasure.find_erasure(db, None, customer_id=customer_id) is None
        ):
            record_change(
                db,
                provider_id=line.provider_id,
                key_id=None,
                action="erase_customer",
                customer_id=customer_id,
            )


def _find_jobs(
    services: Services, erased: Sequence[ErasedObject]
) -> list[tuple[int, int, str]]:
    """Return provider id, id and name of each stored job with a recorded erasure."""
    ids = {(each.provider_id, each.job_id) for each in erased}
    hmacs = {(each.provider_id, each.name_digest) for each in erased}
    pepper: PepperFile = services.pepper
    secrets, found, last_id = pepper.read(), [], 0
    while page := services.store.read(
        partial(erasure.list_job_names, after_id=last_id, limit=JOBS_PER_QUERY)
    ):
        for job in page:
            name, of = job.provider_job_id, job.provider_id
            name_hmac = secrets.hash_job_name(of, name)
            if (of, job.id) in ids or (of, name_hmac) in hmacs:
                found.append((of, job.id, name))
        last_id = page[-1].id
    return found


def _is_stored(erased: ErasedObject, db: Connection) -> bool:
    customer = stored_customers.find_customer(
        db, erased.provider_id, erased.customer_id or 0
    )
    return customer is not None and customer.created_at < erased.erased_at
