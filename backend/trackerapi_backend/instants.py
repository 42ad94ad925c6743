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


def utc_now() -> datetime:
    """Return the time by this machine's clock."""
    return datetime.now(UTC)
