"""Limits for new API keys, job tokens and share links: creator, number, lifetime.

Expired and revoked keys, tokens and links do not count.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from trackerapi_backend.instants import utc_now
from trackerapi_backend.problems import Problem, unauthorized
from trackerapi_backend.store.api_keys import (
    count_live_keys,
    count_live_tokens,
    is_live_key,
)
from trackerapi_backend.store.share_links import count_live_links

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

MAX_KEYS = 1000
"""Maximum number of valid keys of a provider; job tokens do not count."""
MAX_TOKENS = 1000
"""Maximum number of valid tokens of a job."""
MAX_LINKS = 100
"""Maximum number of valid share links of a job."""
MAX_LIFETIME = timedelta(days=366)
"""Maximum time from the creation of a token or link to its expiry."""
DEFAULT_LIFETIME = timedelta(days=30)
"""Lifetime of a token or link whose creation names no expiry."""


def require_valid_creator(db: Connection, provider_id: int, key_id: str) -> None:
    """Check that the key of a request has not expired since the request began.

    Each request is authenticated before its body is read, and a client may send the
    body slowly. Without this second check, the request could create a key after the
    expiry of its own key, and a revocation of the created keys would miss the new key.

    Args:
        db: Connection in the transaction that stores the new key, token or link.
        provider_id: Provider of the key.
        key_id: Public part of the key.

    Raises:
        Problem: If the key has expired.
    """
    if not is_live_key(db, provider_id, key_id, now=utc_now()):
        raise unauthorized("The key has expired.")


def check_key_count(db: Connection, provider_id: int, *, now: datetime) -> None:
    """Check that a provider may get one more key.

    Raises:
        Problem: If the provider has `MAX_KEYS` valid keys or more.
    """
    if count_live_keys(db, provider_id, now=now) >= MAX_KEYS:
        raise _too_many(f"This provider has {MAX_KEYS:,} valid keys", "expire a key")


def check_token_count(db: Connection, job_id: int, *, now: datetime) -> None:
    """Check that a job may get one more token.

    Raises:
        Problem: If the job has `MAX_TOKENS` valid tokens or more.
    """
    if count_live_tokens(db, job_id, now=now) >= MAX_TOKENS:
        raise _too_many(
            f"This job has {MAX_TOKENS:,} valid tokens",
            "expire a token, or use one token on several hosts",
        )


def check_link_count(db: Connection, job_id: int, *, now: datetime) -> None:
    """Check that a job may get one more share link.

    Raises:
        Problem: If the job has `MAX_LINKS` valid links or more.
    """
    if count_live_links(db, job_id, now=now) >= MAX_LINKS:
        raise _too_many(f"This job has {MAX_LINKS:,} valid links", "revoke a link")


def _too_many(state: str, advice: str) -> Problem:
    return Problem("conflict", f"{state}, which is the maximum: {advice} first.")
