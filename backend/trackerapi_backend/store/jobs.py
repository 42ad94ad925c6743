"""Queries about jobs. Rows carry the `document` of the job's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from trackerapi_backend.instants import to_micros
from trackerapi_backend.store.paging import Page, Span, fetch_page
from trackerapi_backend.store.schema import job_configurations, jobs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Row

# A job id is its creation's millisecond and, below, 12 bits to tell neighbours apart.
_NEIGHBOUR_BITS = 12

_with_document = select(jobs, job_configurations.c.document).outerjoin(
    job_configurations, job_configurations.c.id == jobs.c.configuration_id
)


def create_job(db: Connection, values: Mapping[str, Any], *, now: datetime) -> int:
    """Store a job; return its id, larger than that of any job before."""
    newest = db.execute(select(func.max(jobs.c.id))).scalar() or 0
    job_id = max(newest + 1, to_micros(now) // 1000 << _NEIGHBOUR_BITS)
    db.execute(insert(jobs).values({**values, "id": job_id}))
    return job_id


def find_job(db: Connection, provider_id: int, job_id: int) -> Row[Any] | None:
    """Return the provider's job."""
    return db.execute(
        _with_document.where(jobs.c.provider_id == provider_id, jobs.c.id == job_id)
    ).first()


def find_job_by_its_name(
    db: Connection, provider_id: int, provider_job_id: str
) -> Row[Any] | None:
    """Return the job that the provider knows under this id of its own."""
    return db.execute(
        _with_document.where(
            jobs.c.provider_id == provider_id,
            jobs.c.provider_job_id == provider_job_id,
        )
    ).first()


def list_jobs(
    db: Connection, provider_id: int, filters: Mapping[str, Any], span: Span
) -> Page:
    """Return a page of jobs, newest first.

    Args:
        db: Connection to read from.
        provider_id: Whose.
        filters: Any of `id`, `provider_job_id`, `customer_id`, `tag`, a list of
            `status`, and `created_since`, an instant.
        span: The part.
    """
    query = _with_document.where(jobs.c.provider_id == provider_id)
    for name in ("id", "provider_job_id", "customer_id", "tag"):
        if name in filters:
            query = query.where(jobs.c[name] == filters[name])
    if "status" in filters:
        query = query.where(jobs.c.status.in_(filters["status"]))
    if "created_since" in filters:
        query = query.where(jobs.c.created_at >= filters["created_since"])
    return fetch_page(db, query, jobs.c.id, span)


def save_state(
    db: Connection, job_id: int, status: str, state: Mapping[str, Any]
) -> None:
    """Replace what the events of a job amount to."""
    db.execute(
        update(jobs).where(jobs.c.id == job_id).values(status=status, state=state)
    )
