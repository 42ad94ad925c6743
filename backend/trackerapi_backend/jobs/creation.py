"""Creation of jobs, and attachment of a restarted script to its job."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from trackerapi_backend.instants import format_instant, from_micros, to_micros
from trackerapi_backend.jobs.configurations import (
    canonicalize,
    register,
    resolve,
)
from trackerapi_backend.jobs.erasure import erased_problem
from trackerapi_backend.jobs.new_event import metadata_text
from trackerapi_backend.problems import Problem, unavailable
from trackerapi_backend.projection.job import JobState
from trackerapi_backend.projection.snapshot import to_document
from trackerapi_backend.requests.times import read_micros_or_now
from trackerapi_backend.store import customers as stored_customers
from trackerapi_backend.store import jobs as stored_jobs
from trackerapi_backend.store.erasure import find_names

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from trackerapi_backend.generated import models


class Creation(NamedTuple):
    """A created or known job.

    Attributes:
        job: The job.
        is_new: Whether the job did not exist before.
    """

    job: Row[Any]
    is_new: bool


def create_job(
    db: Connection,
    provider_id: int,
    sent: models.JobInput,
    *,
    name_hmac: bytes,
    now: datetime,
) -> Creation:
    """Create a job, or find the job with the same `provider_job_id`.

    The first creation counts: a repeated creation stores no title, reference, metadata
    or other member.

    Args:
        db: Connection in a transaction.
        provider_id: Provider of the job.
        sent: Body of the request, valid by its schema.
        name_hmac: HMAC of `provider_job_id`, see `Pepper.hash_job_name()`.
        now: Time of the request.

    Raises:
        Problem: If the customer is unknown, the job exists with another customer or
            tag, the job was erased, or the configuration is rejected.
    """
    included = None
    if "configuration" in sent:
        included, _ = register(
            db, provider_id, sent["configuration"], now=now, pointer="/configuration"
        )
    # No race between query and insert: the writer runs one transaction at a time.
    known = stored_jobs.find_job_by_provider_job_id(
        db, provider_id, sent["provider_job_id"]
    )
    if known is not None:
        _check_same_job(db, known, sent, included)
        return Creation(known, is_new=False)
    if find_names(db, provider_id, [name_hmac]):
        raise erased_problem(sent["provider_job_id"])
    customer_id = int(sent["customer_id"])
    if stored_customers.find_customer(db, provider_id, customer_id) is None:
        raise Problem(
            "unknown-customer", f"This provider has no customer {customer_id}."
        )
    configuration = resolve(db, provider_id, sent["tag"], included)
    values = {
        "provider_id": provider_id,
        "provider_job_id": sent["provider_job_id"],
        "customer_id": customer_id,
        "configuration_id": configuration.id if configuration else None,
        "tag": configuration.tag if configuration else sent["tag"],
        "name": configuration.name if configuration else sent["tag"],
        "finish": sent.get("finish", "auto"),
        "metadata": json.loads(metadata_text(sent.get("metadata", {}), "/metadata")),
        "status": JobState().status,
        "state": to_document(JobState()),
        "created_at": from_micros(
            read_micros_or_now(sent, "created_at", now=to_micros(now))
        ),
        "title": sent.get("title"),
        "reference": sent.get("reference"),
    }
    try:
        job_id = stored_jobs.create_job(db, values, now=now)
    except stored_jobs.ClockError:
        raise unavailable(
            f"No job can be created: the clock of the backend is too far ahead"
            f" ({format_instant(now)}). Correct the clock.",
            retry_after_seconds=60,
        ) from None
    job = stored_jobs.find_job(db, provider_id, job_id)
    if job is None:
        raise LookupError(job_id)
    return Creation(job, is_new=True)


def attach(
    db: Connection, provider_id: int, job_id: int, sent: models.JobInput
) -> Row[Any]:
    """Return the job of a job token if a body describes exactly this job.

    A configuration in the body must equal the configuration of the job. Nothing is
    stored.

    Raises:
        Problem: If the body describes another job. The message does not depend on the
            body, so it does not reveal whether the other job exists.
    """
    job = stored_jobs.find_job(db, provider_id, job_id)
    is_own = (
        job is not None
        and sent["provider_job_id"] == job.provider_job_id
        and sent["customer_id"] == job.customer_id
        and sent["tag"] in (job.tag, job.name)
        and (
            "configuration" not in sent
            or canonicalize(sent["configuration"], "/configuration") == job.document
        )
    )
    if job is None or not is_own:
        raise Problem("forbidden", "A job token attaches to its own job only.")
    return job


def _check_same_job(
    db: Connection, known: Row[Any], sent: models.JobInput, included: Row[Any] | None
) -> None:
    """Raise Problem unless a body has the customer and the tag of a known job."""
    if known.customer_id != sent["customer_id"]:
        raise _conflict("/customer_id", "The job exists with another customer.")
    if sent["tag"] in (known.tag, known.name):
        return
    named = resolve(db, known.provider_id, sent["tag"], included)
    if named is None or named.tag != known.tag:
        raise _conflict("/tag", f"The job exists with another tag: {known.tag!r}.")


def _conflict(pointer: str, detail: str) -> Problem:
    error: models.ProblemError = {"pointer": pointer, "detail": "is not the job's"}
    return Problem("conflict", detail, errors=[error])
