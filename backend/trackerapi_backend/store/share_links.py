"""Queries on share links; the store has only the hash of a link's token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from trackerapi_backend.instants import format_instant
from trackerapi_backend.store.audit_log import record_change
from trackerapi_backend.store.changes import (
    note_permissions,
    tokens_and_links_of_job,
)
from trackerapi_backend.store.ids import SHARE_LINK_IDS
from trackerapi_backend.store.paging import Page, Span, fetch_page
from trackerapi_backend.store.schema import jobs, providers, share_links

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Row


def create_share_link(
    db: Connection, provider_id: int, values: Mapping[str, Any]
) -> Row[Any]:
    """Store a link, and an entry in the audit log; return the row of the link.

    Args:
        db: Connection in a transaction.
        provider_id: Provider of the job.
        values: Values of the columns.
    """
    new_id = SHARE_LINK_IDS.make(db, values["job_id"], now=values["created_at"])
    stored = insert(share_links).values({**values, "id": new_id})
    row = db.execute(stored.returning(share_links)).one()
    record_change(
        db,
        provider_id=provider_id,
        key_id=row.created_by,
        action="create_share_link",
        job_id=row.job_id,
        details={
            "share_link_id": row.id,
            "expires_at": format_instant(row.expires_at),
        },
    )
    return row


def find_share_link(db: Connection, provider_id: int, link_id: int) -> Row[Any] | None:
    """Return a link by its id, if it belongs to a job of the provider."""
    return db.execute(
        select(share_links)
        .join(jobs)
        .where(jobs.c.provider_id == provider_id, share_links.c.id == link_id)
    ).first()


def count_live_links(db: Connection, job_id: int, *, now: datetime) -> int:
    """Return the number of valid links of a job."""
    query = select(func.count()).select_from(share_links)
    live = query.where(
        share_links.c.job_id == job_id,
        share_links.c.revoked_at.is_(None),
        share_links.c.expires_at > now,
    )
    return int(db.execute(live).scalar_one())


def list_share_links(db: Connection, job_id: int, span: Span) -> Page:
    """Return a page of the links of a job, newest first."""
    query = select(share_links).where(share_links.c.job_id == job_id)
    return fetch_page(db, query, share_links.c.id, span)


def revoke_share_link(
    db: Connection,
    provider_id: int,
    link_id: int,
    *,
    now: datetime,
    caller_key_id: str | None,
) -> None:
    """Set the revocation time of a link to `now`, unless it is already revoked.

    If the revocation time changes, the audit log gets an entry.

    Args:
        db: Connection in a transaction.
        provider_id: Provider of the link. The caller has checked that the link belongs
            to the provider.
        link_id: Id of the link.
        now: Time of the request.
        caller_key_id: Public part of the key that makes the change; None for a command.
    """
    # The condition on `revoked_at` is part of the UPDATE: of two calls, the second must
    # not change the time of the revocation.
    revoked = db.execute(
        update(share_links)
        .where(share_links.c.id == link_id, share_links.c.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(share_links.c.job_id)
    ).first()
    if revoked is not None:
        note_permissions(db, [tokens_and_links_of_job(revoked.job_id)])
        record_change(
            db,
            provider_id=provider_id,
            key_id=caller_key_id,
            action="revoke_share_link",
            job_id=revoked.job_id,
            details={"share_link_id": link_id},
        )


def record_opening(db: Connection, link_id: int, *, now: datetime) -> None:
    """Set the time of the last view of a link's page."""
    db.execute(
        update(share_links)
        .where(share_links.c.id == link_id)
        .values(last_opened_at=now)
    )


def find_valid_link(
    db: Connection, token_hash: bytes, *, now: datetime
) -> Row[Any] | None:
    """Return a valid link by the hash of its token.

    The row also has `provider_id` and `configuration_id` of the job, and `time_zone`
    and `provider_language` of its provider. A revoked or expired link counts as
    unknown.
    """
    language = providers.c.language.label("provider_language")
    return db.execute(
        select(
            share_links,
            jobs.c.provider_id,
            jobs.c.configuration_id,
            providers.c.time_zone,
            language,
        )
        .join_from(share_links, jobs)
        .join(providers, providers.c.id == jobs.c.provider_id)
        .where(
            share_links.c.token_hash == token_hash,
            share_links.c.revoked_at.is_(None),
            share_links.c.expires_at > now,
        )
    ).first()
