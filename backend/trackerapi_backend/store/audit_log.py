"""Queries on the audit log: one entry for each administrative change.

An entry contains ids, scopes, times, numbers, and names of members or partitions. An
entry never contains a secret, a token, or a text that people have written, such as a
label, a name or a reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from sqlalchemy import insert, select, update

from trackerapi_backend.instants import utc_now
from trackerapi_backend.store.paging import Page, Span, fetch_page
from trackerapi_backend.store.schema import audit_log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection


class Details(TypedDict, total=False):
    """Details of an entry. Each entry has only the members that fit its action.

    Attributes:
        key_id: Public part of the key that was created or expired.
        scopes: Scopes of the created key.
        share_link_id: Id of the share link that was created or revoked.
        expires_at: Expiry of the key or link, as an RFC 3339 text; None for never.
        members: Names of the changed members of the profile, without their values.
        retention_days: New age from which ended jobs are deleted, in days; None if jobs
            stay for ever.
        deleted_jobs: Number of jobs that were deleted.
        partition: Name of the dropped partition of the events.
        expired_keys: Number of expired keys that the key `key_id` had created.
        expired_tokens: Number of expired job tokens that the key had created.
        revoked_share_links: Number of revoked links that the key had created.
    """

    key_id: str
    scopes: Sequence[str]
    share_link_id: int
    expires_at: str | None
    members: Sequence[str]
    retention_days: int | None
    deleted_jobs: int
    partition: str
    expired_keys: int
    expired_tokens: int
    revoked_share_links: int


class Subject(TypedDict, total=False):
    """Ids of the job and the customer of a change; None for a change without them."""

    job_id: int | None
    customer_id: int | None


def record_change(
    db: Connection,
    *,
    provider_id: int | None,
    key_id: str | None,
    action: str,
    details: Details | None = None,
    **subject: Unpack[Subject],
) -> int:
    """Store an entry about a change; return the id of the entry.

    Args:
        db: Connection in the transaction of the change.
        provider_id: Provider of the change; None for a change of the whole
            installation.
        key_id: Public part of the key that makes the change; None for a command.
        action: Name of the change. If an operation of the contract makes the same
            change, the name of the operation.
        details: Details of the change; None without details.
        subject: `job_id` and `customer_id`, if the change has a job or a customer. An
            erasure finds the entries of a job or customer by these ids.
    """
    values = {
        "at": utc_now(),
        "provider_id": provider_id,
        "key_id": key_id,
        "action": action,
        **subject,
    }
    if details is not None:
        values["details"] = details
    stored = insert(audit_log).values(values).returning(audit_log.c.id)
    return int(db.execute(stored).scalar_one())


def replace_details(db: Connection, entry_id: int, details: Details) -> None:
    """Replace the details of an entry, for a change that takes several transactions."""
    entry = update(audit_log).where(audit_log.c.id == entry_id)
    db.execute(entry.values(details=details))


def list_entries(
    db: Connection,
    provider_id: int | None,
    span: Span,
    *,
    since: datetime | None = None,
) -> Page:
    """Return a page of the audit log, newest first.

    Args:
        db: Connection to read from.
        provider_id: Provider of the entries; None for the entries of all providers.
        span: Part of the list to read.
        since: Time of the oldest entry to list; None for all entries.
    """
    conditions: list[Any] = []
    if provider_id is not None:
        conditions.append(audit_log.c.provider_id == provider_id)
    if since is not None:
        conditions.append(audit_log.c.at >= since)
    query = select(audit_log).where(*conditions)
    return fetch_page(db, query, audit_log.c.id, span)
