"""Queries on API keys; job tokens are keys with a `job_id`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, or_, select, update

from trackerapi_backend.instants import format_instant
from trackerapi_backend.store.audit_log import record_change
from trackerapi_backend.store.changes import (
    changes_of,
    keys_of_provider,
    note_permissions,
    tokens_and_links_of_job,
)
from trackerapi_backend.store.ids import API_KEY_IDS
from trackerapi_backend.store.paging import Page, Span, fetch_page
from trackerapi_backend.store.schema import api_keys, jobs, providers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Row


def create_key(db: Connection, values: Mapping[str, Any]) -> Row[Any]:
    """Store a key, and an entry in the audit log; return the row of the key."""
    new_id = API_KEY_IDS.make(db, values["provider_id"], now=values["created_at"])
    stored = insert(api_keys).values({**values, "id": new_id})
    row = db.execute(stored.returning(api_keys)).one()
    changes_of(db).keys.add(row.key_id)
    expires_at = None if row.expires_at is None else format_instant(row.expires_at)
    record_change(
        db,
        provider_id=row.provider_id,
        key_id=row.created_by,
        action="create_api_key" if row.job_id is None else "create_job_token",
        job_id=row.job_id,
        details={
            "key_id": row.key_id,
            "scopes": row.scopes,
            "expires_at": expires_at,
        },
    )
    return row


def has_keys(db: Connection) -> bool:
    """Return whether the database has a key, of any provider."""
    return db.execute(select(api_keys.c.id).limit(1)).first() is not None


def find_key(db: Connection, provider_id: int, key_id: str) -> Row[Any] | None:
    """Return the key of a provider with this public part."""
    return db.execute(
        select(api_keys).where(
            api_keys.c.provider_id == provider_id, api_keys.c.key_id == key_id
        )
    ).first()


def find_key_with_provider(db: Connection, key_id: str) -> Row[Any] | None:
    """Return the key with this public part, of any provider.

    The row has two more columns: `provider_name`, and `provider_job_id`, which is
    null unless the key is a job token.
    """
    return db.execute(
        select(
            api_keys, providers.c.name.label("provider_name"), jobs.c.provider_job_id
        )
        .join(providers, providers.c.id == api_keys.c.provider_id)
        .outerjoin(jobs, jobs.c.id == api_keys.c.job_id)
        .where(api_keys.c.key_id == key_id)
    ).first()


def count_live_keys(db: Connection, provider_id: int, *, now: datetime) -> int:
    """Return the number of valid keys of a provider, without job tokens."""
    return _count_live(
        db,
        api_keys.c.provider_id == provider_id,
        api_keys.c.job_id.is_(None),
        is_live(now),
    )


def count_live_tokens(db: Connection, job_id: int, *, now: datetime) -> int:
    """Return the number of valid tokens of a job."""
    return _count_live(db, api_keys.c.job_id == job_id, is_live(now))


def _count_live(db: Connection, *conditions: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(api_keys).where(*conditions)
    return int(db.execute(query).scalar_one())


def is_live_key(
    db: Connection, provider_id: int, key_id: str, *, now: datetime
) -> bool:
    """Return whether a provider has this key, and the key has not expired."""
    query = select(api_keys.c.id).where(
        api_keys.c.provider_id == provider_id, api_keys.c.key_id == key_id, is_live(now)
    )
    return db.execute(query).first() is not None


def is_live(now: datetime) -> ColumnElement[bool]:
    """Return the SQL condition that a key has not expired at `now`."""
    return or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now)


def list_keys(db: Connection, provider_id: int, span: Span) -> Page:
    """Return a page of the keys of a provider, newest first."""
    query = select(api_keys).where(api_keys.c.provider_id == provider_id)
    return fetch_page(db, query, api_keys.c.id, span)


def expire_keys(
    db: Connection, *conditions: ColumnElement[bool], now: datetime
) -> Sequence[Row[Any]]:
    """Set the expiry of matching keys to `now`; return their `key_id` and `job_id`."""
    expired = db.execute(
        update(api_keys)
        .where(*conditions)
        .values(expires_at=now)
        .returning(api_keys.c.key_id, api_keys.c.job_id, api_keys.c.provider_id)
    ).all()
    changes_of(db).keys.update(row.key_id for row in expired)
    permissions = {
        keys_of_provider(row.provider_id)
        if row.job_id is None
        else tokens_and_links_of_job(row.job_id)
        for row in expired
    }
    note_permissions(db, permissions)
    return expired


def expire_key(
    db: Connection,
    provider_id: int,
    key_id: str,
    *,
    now: datetime,
    caller_key_id: str | None,
) -> Row[Any] | None:
    """Set the expiry of a key to `now`, unless the key has expired before `now`.

    If the expiry changes, the audit log gets an entry.

    Args:
        db: Connection in a transaction.
        provider_id: Provider of the key.
        key_id: Public part of the key.
        now: Time of the request.
        caller_key_id: Public part of the key that makes the change; None for a command.

    Returns:
        The key; None if the provider has no such key.
    """
    # The condition on `expires_at` is part of the UPDATE: of two calls, the second
    # must not move the end of the key to a later time.
    expired = expire_keys(
        db,
        api_keys.c.provider_id == provider_id,
        api_keys.c.key_id == key_id,
        is_live(now),
        now=now,
    )
    if expired:
        record_change(
            db,
            provider_id=provider_id,
            key_id=caller_key_id,
            action="expire_api_key",
            job_id=expired[0].job_id,
            details={"key_id": key_id},
        )
    return find_key(db, provider_id, key_id)


def update_key(db: Connection, key_id: str, changes: Mapping[str, Any]) -> None:
    """Store new values in columns of a key."""
    db.execute(update(api_keys).where(api_keys.c.key_id == key_id).values(changes))


def count_keys_of_others(db: Connection, pepper: str, *, now: datetime) -> int:
    """Return the number of valid keys that use another pepper than the given pepper.

    Keys from before the first rotation have no fingerprint; these keys count too.

    Args:
        db: Connection to read from.
        pepper: Fingerprint of the given pepper.
        now: Time at which a counted key is valid.
    """
    count = select(func.count()).select_from(api_keys)
    return int(
        db.execute(count.where(*_conditions_of_others(pepper, now))).scalar_one()
    )


def list_keys_of_others(
    db: Connection, pepper: str, *, now: datetime, limit: int
) -> Sequence[Row[Any]]:
    """Return the oldest keys that `count_keys_of_others()` counts.

    Each row also has the `provider_name`. At most `limit` keys are returned.
    """
    query = (
        select(api_keys, providers.c.name.label("provider_name"))
        .join(providers, providers.c.id == api_keys.c.provider_id)
        .where(*_conditions_of_others(pepper, now))
        .order_by(api_keys.c.id)
        .limit(limit)
    )
    return db.execute(query).all()


def expire_keys_of_others(db: Connection, pepper: str, *, now: datetime) -> None:
    """Expire the keys that `count_keys_of_others()` counts."""
    expire_keys(db, *_conditions_of_others(pepper, now), now=now)


def _conditions_of_others(
    pepper: str, now: datetime
) -> tuple[ColumnElement[bool], ...]:
    return api_keys.c.pepper.is_distinct_from(pepper), is_live(now)
