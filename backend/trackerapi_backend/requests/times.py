"""Times in the body of a request."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from trackerapi_backend.instants import parse_instant
from trackerapi_backend.problems import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

MAX_AHEAD = timedelta(days=366)
"""Maximum lead of a job's clock; a later time counts as the time of the request."""


def read_instant(document: Mapping[str, Any], member: str) -> datetime | None:
    """Return the time in a member of a body; None if the member is missing.

    Raises:
        Problem: If the time is outside the years 1 to 9999.
    """
    text = document.get(member)
    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError:
        raise invalid(f"/{member}", "is outside the years 1 to 9999") from None


def read_instant_or_now(
    document: Mapping[str, Any], member: str, *, now: datetime
) -> datetime:
    """Return the time in a member of a body; `now` if the member is missing.

    A time more than `MAX_AHEAD` in the future counts as `now`: the clock of the job
    is wrong.

    Raises:
        Problem: If the time is outside the years 1 to 9999.
    """
    sent = read_instant(document, member)
    return now if sent is None or sent - now > MAX_AHEAD else sent


def read_expiry(document: Mapping[str, Any], *, now: datetime) -> datetime | None:
    """Return the `expires_at` of a body; None if the member is missing.

    Raises:
        Problem: If the time lies in the past, or outside the years 1 to 9999.
    """
    expires_at = read_instant(document, "expires_at")
    if expires_at is not None and expires_at <= now:
        raise invalid("/expires_at", "lies in the past")
    return expires_at
