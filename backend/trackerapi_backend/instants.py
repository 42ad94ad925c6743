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


def parse_instant(text: str) -> datetime:
    """Return the instant of an RFC 3339 text, in UTC.

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
    try:
        local = datetime.fromisoformat(plain)
        instant = local.astimezone(UTC)
    except OverflowError:
        raise ValueError(text) from None
    if local.tzinfo is None:
        raise ValueError(text)
    return instant.replace(microsecond=999_999) if is_leap_second else instant


def format_instant(instant: datetime) -> str:
    """Return the RFC 3339 text of an instant, in UTC."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def utc_now() -> datetime:
    """Return the current time of this machine's clock."""
    return datetime.now(UTC)
