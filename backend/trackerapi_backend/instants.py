"""Points in time: aware UTC in the program, whole microseconds where stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(instant: datetime) -> int:
    """Return microseconds since 1970, exact; `instant` must be aware."""
    return (instant - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the instant, in UTC, that `to_micros()` gave the number of."""
    return _EPOCH + timedelta(microseconds=micros)


def parse_instant(text: str) -> datetime:
    """Return the instant that an RFC 3339 text names.

    A leap second is the last microsecond before it ends; digits below a microsecond
    are cut off.

    Raises:
        ValueError: If it is no such text or outside the years 1 to 9999 in UTC.
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
    """Return the instant as the contract shows it: RFC 3339, UTC."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def utc_now() -> datetime:
    """Return the time by this machine's clock."""
    return datetime.now(UTC)
