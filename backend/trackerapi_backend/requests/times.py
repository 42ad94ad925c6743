"""Times in the body of a request."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from trackerapi_backend.instants import from_micros, parse_micros, to_micros
from trackerapi_backend.problems import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

MAX_AHEAD = 366 * 24 * 60 * 60 * 1_000_000
"""Maximum lead of a job's clock, in microseconds.

A later time counts as the time of the request."""


def _read_micros(document: Mapping[str, Any], member: str) -> int | None:
    text = document.get(member)
    if text is None:
        return None
    try:
        return parse_micros(text)
    except ValueError:
        raise invalid(f"/{member}", "is outside the years 1 to 9999") from None


def read_micros_or_now(document: Mapping[str, Any], member: str, *, now: int) -> int:
    """Return the time in a member of a body; `now` if the member is missing.

    All times are microseconds since 1970. A time more than `MAX_AHEAD` in the future
    counts as `now`: the clock of the job is wrong.

    Raises:
        Problem: If the time is outside the years 1 to 9999.
    """
    sent = _read_micros(document, member)
    return now if sent is None or sent - now > MAX_AHEAD else sent


def read_expiry(
    document: Mapping[str, Any],
    *,
    now: datetime,
    max_lifetime: timedelta | None = None,
) -> datetime | None:
    """Return the `expires_at` of a body; None if the member is missing.

    Args:
        document: Body of the request.
        now: Time of the request.
        max_lifetime: Maximum time from `now` to the expiry; None for no maximum.

    Raises:
        Problem: If the time lies in the past or too far ahead, or outside the years 1
            to 9999.
    """
    expires_at = _read_micros(document, "expires_at")
    if expires_at is None:
        return None
    if expires_at <= to_micros(now):
        raise invalid("/expires_at", "lies in the past")
    if max_lifetime is not None and expires_at > to_micros(now) + (
        max_lifetime // timedelta(microseconds=1)
    ):
        raise invalid("/expires_at", f"lies more than {max_lifetime.days} days ahead")
    return from_micros(expires_at)
