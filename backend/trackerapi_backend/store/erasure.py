"""Queries that erase jobs and customers.

An erasure first hides the job or customer: the row moves to the provider `ERASED`. No
key belongs to this provider, so every operation answers as for an unknown job or
customer. Then `deletion` deletes the other rows of the job in steps, and at last the
row of the job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from trackerapi_backend.store.changes import (
    changes_of,
    note_job,
    note_permissions,
    tokens_and_links_of_job,
)
from trackerapi_backend.store.schema import (
    api_keys,
    audit_log,
    customers,
    erased_jobs,
    jobs,
    providers,
    share_links,
)
from trackerapi_backend.store.sqlite_sql import MAX_VALUES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row, Select

ERASED = 0
"""Id of the provider that owns hidden jobs and customers."""

_ERASING_ACTIONS = ("erase_job", "erase_customer")


def hide_job(db: Connection, job_id: int, *, now: datetime) -> None:
    """Hide a job; delete its links, tokens and texts, but none of its events.

    On PostgreSQL, the call waits for the transactions that record events of the job.
    """
    _create_provider(db, now=now)
    db.execute(
        update(jobs)
        .where(jobs.c.id == job_id)
        .values(
            provider_id=ERASED,
            # The id is unique; two providers may have jobs with the same name.
            provider_job_id=f"{job_id}",
            configuration_id=None,
            tag="",
            name="",
            metadata={},
            status="",
            state={},
            title=None,
            reference=None,
        )
    )
    _forget_details(db, audit_log.c.job_id == job_id)
    db.execute(delete(share_links).where(share_links.c.job_id == job_id))
    tokens = delete(api_keys).where(api_keys.c.job_id == job_id)
    key_ids = db.execute(tokens.returning(api_keys.c.key_id)).scalars()
    changes_of(db).keys.update(key_ids)
    note_job(db, job_id)
    note_permissions(db, [tokens_and_links_of_job(job_id)])


def hide_customer(db: Connection, customer_id: int, *, now: datetime) -> None:
    """Hide a customer; from then on, no job can be created for the customer."""
    _create_provider(db, now=now)
    db.execute(
        update(customers)
        .where(customers.c.id == customer_id)
        .values(provider_id=ERASED, reference=None, name=None)
    )
    _forget_details(db, audit_log.c.customer_id == customer_id)


def _create_provider(db: Connection, *, now: datetime) -> None:
    # No race between query and insert: these transactions run one at a time.
    if not _has_hidden_provider(db):
        db.execute(insert(providers).values(id=ERASED, name="", created_at=now))


def _has_hidden_provider(db: Connection) -> bool:
    query = select(providers.c.id).where(providers.c.id == ERASED)
    return db.execute(query).first() is not None


def visible_counts(db: Connection, counts: Mapping[str, int]) -> dict[str, int]:
    """Return numbers of rows without the provider `ERASED`, for operators.

    Args:
        db: Connection to the database whose rows were counted, of any schema.
        counts: Number of rows of each table.
    """
    hidden_count = int(_has_hidden_provider(db))
    return {**counts, "providers": counts["providers"] - hidden_count}


def _forget_details(db: Connection, condition: Any) -> None:
    db.execute(update(audit_log).where(condition).values(details=None))


def delete_customer(db: Connection, customer_id: int) -> None:
    """Delete a hidden customer without jobs."""
    db.execute(delete(customers).where(customers.c.id == customer_id))


def find_job_of_customer(db: Connection, customer_id: int) -> Row[Any] | None:
    """Return `id`, `provider_id` and `provider_job_id` of one job of a customer.

    The job may be hidden already. The result is None if the customer has no job.
    """
    columns = (jobs.c.id, jobs.c.provider_id, jobs.c.provider_job_id)
    query: Select[Any] = select(*columns)
    return db.execute(query.where(jobs.c.customer_id == customer_id).limit(1)).first()


def has_erasures(db: Connection) -> bool:
    """Return whether the audit log has an entry of an erasure."""
    is_erasure = audit_log.c.action.in_(_ERASING_ACTIONS)
    return (
        db.execute(select(audit_log.c.id).where(is_erasure).limit(1)).first()
        is not None
    )


def find_erasure(
    db: Connection, provider_id: int | None, **ids: int
) -> datetime | None:
    """Return the time of the latest erasure of a job or customer.

    Args:
        db: Connection to read from.
        provider_id: Provider of the job or customer; None for any provider.
        ids: `job_id` or `customer_id`.

    Returns:
        The time; None if no erasure is recorded.
    """
    conditions = [audit_log.c[name] == value for name, value in ids.items()]
    if provider_id is not None:
        conditions.append(audit_log.c.provider_id == provider_id)
    is_erasure = audit_log.c.action.in_(_ERASING_ACTIONS)
    query = select(audit_log.c.at).where(is_erasure, *conditions)
    newest_first = query.order_by(audit_log.c.id.desc()).limit(1)
    erased_at: datetime | None = db.execute(newest_first).scalar()
    return erased_at


def find_erasure_of_name(
    db: Connection, provider_id: int, name_hmac: bytes
) -> datetime | None:
    """Return the time of the erasure of a job, by the HMAC of its name."""
    query = select(erased_jobs.c.erased_at).where(
        erased_jobs.c.provider_id == provider_id, erased_jobs.c.name_hmac == name_hmac
    )
    erased_at: datetime | None = db.execute(query).scalar()
    return erased_at


def has_hidden_rows(db: Connection) -> bool:
    """Return whether an erasure has begun and is unfinished."""
    return bool(list_hidden_jobs(db) or list_hidden_customers(db))


def list_hidden_jobs(db: Connection) -> Sequence[int]:
    """Return the ids of the hidden jobs: the erasure of these jobs is unfinished."""
    query = select(jobs.c.id).where(jobs.c.provider_id == ERASED)
    return db.execute(query.order_by(jobs.c.id)).scalars().all()


def list_hidden_customers(db: Connection) -> Sequence[int]:
    """Return the ids of the hidden customers: their erasure is unfinished."""
    query = select(customers.c.id).where(customers.c.provider_id == ERASED)
    return db.execute(query.order_by(customers.c.id)).scalars().all()


def list_job_names(db: Connection, after_id: int, limit: int) -> Sequence[Row[Any]]:
    """Return `id`, `provider_id` and `provider_job_id` of jobs that are not hidden.

    Args:
        db: Connection to read from.
        after_id: Id before the first job to return. The jobs are in the order of ids.
        limit: Maximum number of jobs.
    """
    columns = (jobs.c.id, jobs.c.provider_id, jobs.c.provider_job_id)
    query: Select[Any] = select(*columns).where(
        jobs.c.id > after_id, jobs.c.provider_id != ERASED
    )
    return db.execute(query.order_by(jobs.c.id).limit(limit)).all()


def list_providers(db: Connection) -> set[int]:
    """Return the ids of all providers but `ERASED`."""
    query = select(providers.c.id).where(providers.c.id != ERASED)
    return set(db.execute(query).scalars())


def record_name(
    db: Connection, provider_id: int, name_hmac: bytes, *, now: datetime
) -> None:
    """Store the HMAC of an erased job's `provider_job_id`, unless already stored."""
    if not find_names(db, provider_id, [name_hmac]):
        row = {"provider_id": provider_id, "name_hmac": name_hmac, "erased_at": now}
        db.execute(insert(erased_jobs).values(row))


def find_names(
    db: Connection, provider_id: int, name_hmacs: Collection[bytes]
) -> set[bytes]:
    """Return the given HMACs that `record_name()` has stored for a provider."""
    given, found = [*name_hmacs], set[bytes]()
    for first in range(0, len(given), MAX_VALUES):
        batch = given[first : first + MAX_VALUES]
        query = select(erased_jobs.c.name_hmac).where(
            erased_jobs.c.provider_id == provider_id,
            erased_jobs.c.name_hmac.in_(batch),
        )
        found.update(db.execute(query).scalars())
    return found
