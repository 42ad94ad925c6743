"""How a job comes to be, or is found again by a script that starts anew."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from trackerapi_backend.instants import format_instant
from trackerapi_backend.jobs.configurations import canonical, register, resolve
from trackerapi_backend.jobs.recording import metadata_text
from trackerapi_backend.problems import Problem, unavailable
from trackerapi_backend.projection.job import JobState
from trackerapi_backend.projection.snapshot import to_document
from trackerapi_backend.requests.moments import read_moment
from trackerapi_backend.store import customers as stored_customers
from trackerapi_backend.store import jobs as stored_jobs

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from trackerapi_backend.generated import models


def create_job(
    db: Connection, provider_id: int, sent: models.JobInput, *, now: datetime
) -> tuple[Row[Any], bool]:
    """Return the job that was asked for, and whether it is new.

    Raises:
        Problem: If the customer is unknown, the job is known with another customer
            or tag, or the configuration is refused.
    """
    carried = None
    if "configuration" in sent:
        carried, _is_new = register(
            db, provider_id, sent["configuration"], now=now, pointer="/configuration"
        )
    known = stored_jobs.find_job_by_its_name(db, provider_id, sent["provider_job_id"])
    if known is not None:
        _check_same(db, known, sent, carried)
        return known, False
    customer_id = int(sent["customer_id"])
    if stored_customers.find_customer(db, provider_id, customer_id) is None:
        raise Problem(
            "unknown-customer", f"This provider has no customer {customer_id}."
        )
    configuration = resolve(db, provider_id, sent["tag"], carried)
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
        "created_at": read_moment(sent, "created_at", now=now),
    }
    try:
        job_id = stored_jobs.create_job(db, values, now=now)
    except stored_jobs.ClockError:
        raise unavailable(
            f"No job can be created: the clock of the backend says"
            f" {format_instant(now)}. Set it right.",
            retry_after_seconds=60,
        ) from None
    job = stored_jobs.find_job(db, provider_id, job_id)
    if job is None:
        raise LookupError(job_id)
    return job, True


def attach(
    db: Connection, provider_id: int, job_id: int, sent: models.JobInput
) -> Row[Any]:
    """Return the one job that a job token is for, if it is what was asked for.

    Nothing is stored: a configuration that comes along has to be the job's own.

    Raises:
        Problem: If anything else was asked for, in the same words whatever it was.
    """
    job = stored_jobs.find_job(db, provider_id, job_id)
    is_own = (
        job is not None
        and sent["provider_job_id"] == job.provider_job_id
        and sent["customer_id"] == job.customer_id
        and sent["tag"] in (job.tag, job.name)
        and (
            "configuration" not in sent
            or canonical(sent["configuration"], "/configuration") == job.document
        )
    )
    if job is None or not is_own:
        raise Problem("forbidden", "A job token attaches to its own job alone.")
    return job


def _check_same(
    db: Connection, known: Row[Any], sent: models.JobInput, carried: Row[Any] | None
) -> None:
    """Raise a problem unless a known job is the one that is meant."""
    if known.customer_id != sent["customer_id"]:
        raise _conflict("/customer_id", "The job is known, for another customer.")
    if sent["tag"] in (known.tag, known.name):
        return
    meant = resolve(db, known.provider_id, sent["tag"], carried)
    if meant is None or meant.tag != known.tag:
        raise _conflict("/tag", f"The job is known, with another tag: {known.tag!r}.")


def _conflict(pointer: str, detail: str) -> Problem:
    error: models.ProblemError = {"pointer": pointer, "detail": "is not the job's"}
    return Problem("conflict", detail, errors=[error])
