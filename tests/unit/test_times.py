"""Conversions of times: RFC 3339 texts and microseconds."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackerapi.times import (
    LAST_MOMENT,
    as_microseconds,
    as_rfc3339,
    moment_at,
    parse_rfc3339,
)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 11, 24, 1, 0, 3, tzinfo=UTC), "2026-11-24T01:00:03Z"),
        (
            datetime(2026, 11, 24, 1, 0, 3, 250, timezone(timedelta(hours=2))),
            "2026-11-23T23:00:03.000250Z",
        ),
    ],
)
def test_time_is_written_in_utc(moment: datetime, text: str) -> None:
    """A time is converted to UTC and written with the suffix `Z`."""
    assert as_rfc3339(moment) == text


def test_time_without_offset_is_rejected() -> None:
    """A time without an offset raises ValueError: its zone is unknown."""
    with pytest.raises(ValueError, match="a time needs an offset"):
        as_rfc3339(datetime(2026, 11, 24))  # noqa: DTZ001


def test_value_that_is_no_datetime_is_rejected() -> None:
    """The error names the type of the value."""
    moment: Any = "2026-11-24"

    with pytest.raises(TypeError, match="must be a datetime, got str"):
        as_rfc3339(moment)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24T01:00:03Z", datetime(2026, 11, 24, 1, 0, 3, tzinfo=UTC)),
        ("2026-11-24T03:00:03+02:00", datetime(2026, 11, 24, 1, 0, 3, tzinfo=UTC)),
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
    ],
)
def test_text_is_read_as_utc(text: str, moment: datetime) -> None:
    """A text with an offset is converted; a text without one counts as UTC."""
    parsed = parse_rfc3339(text)

    assert parsed == moment
    assert parsed.utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", ["", "today", "9999-12-31T23:59:59-01:00"])
def test_text_that_is_no_time_of_the_years_1_to_9999_is_rejected(text: str) -> None:
    """The error is a ValueError, also for a time beyond the year 9999 in UTC."""
    with pytest.raises(ValueError, match=r"isoformat|outside the years"):
        parse_rfc3339(text)


@given(st.datetimes(timezones=st.just(UTC)))
def test_conversion_and_back_returns_the_same_time(moment: datetime) -> None:
    """A time converted to text or microseconds and back is unchanged."""
    assert parse_rfc3339(as_rfc3339(moment)) == moment
    assert moment_at(as_microseconds(moment)) == moment


def test_last_moment_is_the_end_of_the_year_9999() -> None:
    """LAST_MOMENT is the maximum of `datetime` in microseconds."""
    assert moment_at(LAST_MOMENT) == datetime.max.replace(tzinfo=UTC)
