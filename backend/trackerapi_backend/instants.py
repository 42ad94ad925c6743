"""Points in time: aware UTC datetimes in Python, whole microseconds in the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(instant: datetime) -> int:
    """Return the exact microseconds from 1970 to an aware instant."""
    return (instant - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the instant in UTC for microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=micros)


def parse_micros(text: str) -> int:
    """Return the microseconds from 1970 to the instant of an RFC 3339 text.

    A leap second becomes the last microsecond of the second before it: Python has no
    leap seconds. Digits below a microsecond are cut off.

    Raises:
        ValueError: If the text is not RFC 3339, or the instant is outside the years 1
            to 9999 in UTC.
    """
    if text[10:11] not in ("T", "t"):
        raise ValueError(text)
    plain = text.upper()
    is_leap_second = plain[17:19] == "60"
    if is_leap_second:
        plain = f"{plain[:17]}59{plain[19:]}"
    local = datetime.fromisoformat(plain)
    if local.tzinfo is None:
        raise ValueError(text)
    if is_leap_second:
        local = local.replace(microsecond=999_999)
    micros = to_micros(local)
    if not _FIRST <= micros <= _LAST:
        raise ValueError(text)
    return micros


def parse_instant(text: str) -> datetime:
    """Return the instant of an RFC 3339 text, in UTC; see `parse_micros()`."""
    return from_micros(parse_micros(text))


def format_instant(instant: datetime) -> str:
    """Return the RFC 3339 text of an instant, in UTC."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def format_micros(micros: int) -> str:
    """Return the RFC 3339 text of microseconds since 1970."""
    return from_micros(micros).isoformat().replace("+00:00", "Z")


_FIRST = to_micros(datetime(1, 1, 1, tzinfo=UTC))
_LAST = to_micros(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))


def utc_now() -> datetime:
    """Return the current time of this machine's clock."""
    return datetime.now(UTC)
