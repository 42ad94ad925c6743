"""Revocation of the keys, job tokens and share links that a key has created."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import or_, select, update

from trackerapi_backend.store.api_keys import expire_keys, is_live
from trackerapi_backend.store.audit_log import record_change
from trackerapi_backend.store.changes import (
    note_permissions,
    tokens_and_links_of_job,
)
from trackerapi_backend.store.schema import api_keys, share_links

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import CTE, Connection


class Revoked(NamedTuple):
    """Number of keys, of job tokens and of share links that a revocation has ended."""

    expired_keys: int
    expired_tokens: int
    revoked_share_links: int


def revoke_created(
    db: Connection,
    provider_id: int,
    key_id: str,
    *,
    now: datetime,
    caller_key_id: str | None,
) -> Revoked:
    """End all valid keys, job tokens and share links that a key has created.

    The function also ends the keys, tokens and links that those keys have created, and
    so on. If the calling key is one of them, the calling key stays valid, and so do its
    own keys, tokens and links. The revocation gets one entry in the audit log.

    Args:
        db: Connection in a transaction.
        provider_id: Provider of the key.
        key_id: Public part of the key.
        now: Time of the request.
        caller_key_id: Public part of the key that makes the change; None for a command.
    """
    made = select(_created_keys(provider_id, key_id, caller_key_id).c.key_id)
    keys = expire_keys(db, api_keys.c.key_id.in_(made), is_live(now), now=now)
    is_made = or_(
        share_links.c.created_by == key_id, share_links.c.created_by.in_(made)
    )
    links = db.execute(
        update(share_links)
        .where(is_made, share_links.c.revoked_at.is_(None))
        .where(share_links.c.expires_at > now)
        .values(revoked_at=now)
        .returning(share_links.c.job_id)
    ).all()
    tokens = [row for row in keys if row.job_id is not None]
    note_permissions(db, {tokens_and_links_of_job(row.job_id) for row in links})
    revoked = Revoked(len(keys) - len(tokens), len(tokens), len(links))
    record_change(
        db,
        provider_id=provider_id,
        key_id=caller_key_id,
        action="revoke_created",
        details={
            "key_id": key_id,
            "expired_keys": revoked.expired_keys,
            "expired_tokens": revoked.expired_tokens,
            "revoked_share_links": revoked.revoked_share_links,
        },
    )
    return revoked


def _created_keys(provider_id: int, key_id: str, caller_key_id: str | None) -> CTE:
    """Return a table of the keys that a key has created, directly or by other keys.

    If the calling key is one of them, the table lacks the calling key and the keys that
    the calling key has created.
    """
    keys = select(api_keys.c.key_id).where(api_keys.c.provider_id == provider_id)
    if caller_key_id is not None:
        keys = keys.where(api_keys.c.key_id != caller_key_id)
    made = keys.where(api_keys.c.created_by == key_id).cte("made", recursive=True)
    # UNION without ALL ends even if keys have created each other.
    return made.union(keys.where(api_keys.c.created_by == made.c.key_id))
