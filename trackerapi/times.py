"""Conversions between datetimes, RFC 3339 texts and microseconds since 1970."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def moment_at(microseconds: int) -> datetime:
    """Return the aware datetime of `microseconds` since 1970, up to the year 9999."""
    return _EPOCH + timedelta(microseconds=microseconds)


def as_microseconds(moment: datetime) -> int:
    """Return an aware `moment` in microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


LAST_MOMENT: Final = as_microseconds(datetime.max.replace(tzinfo=UTC))
"""End of the year 9999, the latest time that RFC 3339 can write; in microseconds."""


def parse_rfc3339(text: str) -> datetime:
    """Return the time that `text` states, in UTC.

    A time without an offset counts as UTC.

    Raises:
        ValueError: If `text` is not a time, or lies outside the years 1 to 9999 in UTC.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"outside the years 1 to 9999 in UTC: {text!r}") from None


def as_rfc3339(moment: datetime) -> str:
    """Return an aware `moment` as RFC 3339 text in UTC, with "Z" as its offset.

    Raises:
        TypeError: If `moment` is not a datetime.
        ValueError: If `moment` has no offset, or lies outside the years 1 to 9999 in
            UTC. A time without an offset is ambiguous: the zone would be a guess.
    """
    if not isinstance(moment, datetime):
        raise TypeError(f"a time must be a datetime, got {type(moment).__name__}")
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError("a time needs an offset, such as datetime.now(UTC)")
    try:
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:
        raise ValueError("a time must lie in the years 1 to 9999 in UTC") from None
