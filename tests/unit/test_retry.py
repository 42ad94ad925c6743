"""Retry rules: repeatable requests, delays and `Retry-After`."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackerapi.retry import (
    FIRST_DELAY_SECONDS,
    MAX_DELAY_SECONDS,
    MAX_RETRY_AFTER_SECONDS,
    REPEATABLE_METHODS,
    FailedAttempt,
    may_repeat,
    parse_retry_after,
    retry_delay_seconds,
)

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def failed_attempt(**members: object) -> FailedAttempt:
    """Return a first GET that failed at once, changed by `members`."""
    first = {"method": "GET", "attempt": 1, "elapsed_seconds": 0.0}
    return FailedAttempt(**{**first, **members})  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [None, 200, 302, 408, 500, 502, 503, 504])
@pytest.mark.parametrize(
    ("method", "repeats"),
    [
        ("GET", True),
        ("HEAD", True),
        ("OPTIONS", True),
        ("PUT", True),
        ("DELETE", True),
        ("POST", False),
        ("PATCH", False),
    ],
)
def test_request_that_may_have_had_an_effect_is_repeated_by_its_method(
    method: str, repeats: bool, status: int | None
) -> None:
    """After these statuses, GET, PUT and DELETE are repeated, POST and PATCH never."""
    assert may_repeat(failed_attempt(method=method, status=status)) is repeats


@pytest.mark.parametrize("status", [425, 429])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_request_without_effect_is_repeated(method: str, status: int) -> None:
    """429 and 425 mean that the request had no effect, so any method is repeated."""
    assert may_repeat(failed_attempt(method=method, status=status))


def test_unsent_request_is_repeated() -> None:
    """A POST that never left this machine is repeated."""
    assert may_repeat(failed_attempt(method="POST", was_sent=False))


@pytest.mark.parametrize(
    ("attempt", "expected"),
    [(1, 0.25), (2, 0.5), (3, 1.0), (8, 32.0), (9, 60.0), (5000, 60.0)],
)
def test_delay_doubles_up_to_a_limit(attempt: int, expected: float) -> None:
    """The wait doubles with each failure and stops growing at the limit."""
    delay = retry_delay_seconds(
        failed_attempt(attempt=attempt), deadline_seconds=1e6, jitter=1.0
    )

    assert delay == expected


@pytest.mark.parametrize(
    ("elapsed_seconds", "retry_after_seconds", "expected"),
    [
        (0.0, None, 0.25),
        (9.7, None, 0.25),
        (9.75, None, None),
        (20.0, None, None),
        (0.0, 9.9, 9.9),
        (0.0, 10.0, None),
        (0.0, 0.1, 0.25),
        (0.0, 0.0, 0.25),
    ],
)
def test_delay_beyond_the_deadline_ends_the_attempts(
    elapsed_seconds: float, retry_after_seconds: float | None, expected: float | None
) -> None:
    """The delay is None if it would end at the deadline or after it."""
    failure = failed_attempt(
        elapsed_seconds=elapsed_seconds, retry_after_seconds=retry_after_seconds
    )

    delay = retry_delay_seconds(failure, deadline_seconds=10.0, jitter=1.0)

    assert delay == expected


def test_deadline_of_zero_allows_one_attempt() -> None:
    """With a deadline of 0 the delay is None: no second attempt follows."""
    assert (
        retry_delay_seconds(failed_attempt(), deadline_seconds=0.0, jitter=0.0) is None
    )


@pytest.mark.parametrize("attempt", [0, -1])
def test_delay_rejects_attempt_below_one(attempt: int) -> None:
    """An `attempt` below 1 raises ValueError with the value."""
    with pytest.raises(ValueError, match=f"attempt must be 1 or more, got {attempt}"):
        retry_delay_seconds(
            failed_attempt(attempt=attempt), deadline_seconds=1.0, jitter=0.0
        )


@pytest.mark.parametrize("jitter", [-0.1, 1.1, float("nan")])
def test_delay_rejects_jitter_out_of_range(jitter: float) -> None:
    """A jitter of NaN, below 0 or above 1 raises ValueError."""
    with pytest.raises(ValueError, match=r"jitter must be 0\.0 to 1\.0"):
        retry_delay_seconds(failed_attempt(), deadline_seconds=1.0, jitter=jitter)


FAILURES = st.builds(
    FailedAttempt,
    method=st.sampled_from([*sorted(REPEATABLE_METHODS), "POST", "PATCH"]),
    attempt=st.integers(1, 10**9),
    elapsed_seconds=st.floats(0, 1e6),
    status=st.none() | st.integers(100, 599),
    was_sent=st.booleans(),
    retry_after_seconds=st.none() | st.floats(0, MAX_RETRY_AFTER_SECONDS),
)


@given(FAILURES, st.floats(0, 1e6), st.floats(0, 1))
def test_delay_keeps_all_bounds_at_once(
    failure: FailedAttempt, deadline_seconds: float, jitter: float
) -> None:
    """No delay passes the deadline, undercuts `Retry-After` or repeats a lost POST."""
    delay = retry_delay_seconds(
        failure, deadline_seconds=deadline_seconds, jitter=jitter
    )

    if delay is not None:
        asked = failure.retry_after_seconds or 0.0
        assert may_repeat(failure)
        assert asked <= delay <= max(asked, MAX_DELAY_SECONDS)
        assert failure.elapsed_seconds + delay < deadline_seconds


@given(st.floats(0, 1))
def test_delay_has_full_jitter(jitter: float) -> None:
    """The delay is the first delay times the jitter: 0 s at the least."""
    delay = retry_delay_seconds(failed_attempt(), deadline_seconds=60.0, jitter=jitter)

    assert delay == FIRST_DELAY_SECONDS * jitter


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("300", 300.0),
        ("3600", 300.0),
        ("1000000000000", 300.0),
        ("1e12", None),
        ("1e400", None),
        ("-1e12", None),
        ("99999999999999", MAX_RETRY_AFTER_SECONDS),
        ("9" * 400, MAX_RETRY_AFTER_SECONDS),
        ("Tue, 24 Nov 2026 12:00:30 GMT", 30.0),
        ("Tuesday, 24-Nov-26 12:00:30 GMT", 30.0),
        ("Tue Nov 24 12:00:30 2026", 30.0),
        ("Tue, 24 Nov 2026 13:00:30 +0100", 30.0),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_SECONDS),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("1_000", None),
        ("٣", None),
        ("Tue, 99 Nov 2026 12:00:30 GMT", None),
        ("Tue, 24 Nov 99999 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(
    value: str | None, seconds: float | None
) -> None:
    """Seconds and dates are read up to the maximum; other texts return None."""
    assert parse_retry_after(value, now=NOW) == seconds


@given(st.text())
def test_retry_after_of_any_text_is_none_or_bounded(value: str) -> None:
    """Any text returns None, or 0 to MAX_RETRY_AFTER_SECONDS."""
    seconds = parse_retry_after(value, now=NOW)

    assert seconds is None or 0.0 <= seconds <= MAX_RETRY_AFTER_SECONDS


@given(st.integers(0, 300))
def test_retry_after_date_equals_seconds(wait_seconds: int) -> None:
    """A date and the same delay in seconds return the same number."""
    moment = NOW + timedelta(seconds=wait_seconds)

    parsed = parse_retry_after(format_datetime(moment, usegmt=True), now=NOW)

    assert parsed == parse_retry_after(str(wait_seconds), now=NOW) == wait_seconds
