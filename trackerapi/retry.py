"""When a failed request is tried again, as pure functions.

Reads no clock, draws no random number, does no I/O: callers pass what they know.
Shared by questions (`wire`) and the delivery of reports (`delivery`).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_DELAY_SECONDS = 0.25
LONGEST_DELAY_SECONDS = 60.0
LONGEST_RETRY_AFTER_SECONDS = 300.0
"""Longest wait that an answer can ask for: one odd answer must not silence a job."""

MAX_DOUBLINGS = 16

REPEATABLE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Methods that change nothing when they arrive twice (RFC 9110, section 9.2.2)."""

UNPROCESSED_STATUSES = frozenset({425, 429})
"""Answers that say that the request was not acted on."""

_SECONDS = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """What a retry decision may look at.

    Attributes:
        method: HTTP method in capitals.
        attempt: Attempts made so far; 1 after the first failure.
        elapsed_seconds: Time since the first attempt began.
        status: HTTP status of the answer; None without one.
        was_sent: False only if the request surely did not reach the backend.
        retry_after_seconds: Wait the backend asked for; None without one.
    """

    method: str
    attempt: int
    elapsed_seconds: float
    status: int | None = None
    was_sent: bool = True
    retry_after_seconds: float | None = None


def retry_delay_seconds(
    failure: FailedAttempt, *, deadline_seconds: float, jitter: float
) -> float | None:
    """Return how long to wait before the next attempt.

    Exponential with full jitter, capped, and never shorter than the wait that the
    backend asked for.

    Args:
        failure: The attempt that failed with no usable answer.
        deadline_seconds: Time for all attempts and waits together.
        jitter: Share of the delay to wait, 0.0 to 1.0; callers draw it.

    Returns:
        Seconds; None when the request must not be repeated or the wait would reach
        the deadline.

    Raises:
        ValueError: If `attempt` is below 1 or `jitter` is out of range.
    """
    if failure.attempt < 1:
        raise ValueError(f"attempt must be 1 or more, got {failure.attempt}")
    if not 0.0 <= jitter <= 1.0:
        raise ValueError(f"jitter must be 0.0 to 1.0, got {jitter}")
    if not may_repeat(failure):
        return None
    delay = backoff_seconds(
        failure.attempt, jitter=jitter, retry_after_seconds=failure.retry_after_seconds
    )
    return delay if failure.elapsed_seconds + delay < deadline_seconds else None


def backoff_seconds(
    attempt: int,
    *,
    jitter: float,
    retry_after_seconds: float | None = None,
    longest_seconds: float = LONGEST_DELAY_SECONDS,
) -> float:
    """Return how long to wait after a failure: exponential with full jitter.

    Args:
        attempt: Attempts made so far; 1 after the first failure.
        jitter: Share of the delay to wait, 0.0 to 1.0; callers draw it.
        retry_after_seconds: Wait the backend asked for; used when longer.
        longest_seconds: Cap of the delay; not of what the backend asked for.
    """
    # Bound the exponent first: 2.0**1024 raises OverflowError.
    doublings = min(attempt - 1, MAX_DOUBLINGS)
    longest = min(FIRST_DELAY_SECONDS * 2.0**doublings, longest_seconds)
    return max(longest * jitter, retry_after_seconds or 0.0)


def may_repeat(failure: FailedAttempt) -> bool:
    """Tell whether a second attempt can do no harm.

    A request that may have been acted on is repeated only if its method allows
    that; one that surely was not is repeated whatever its method.
    """
    return (
        failure.method in REPEATABLE_METHODS
        or not failure.was_sent
        or failure.status in UNPROCESSED_STATUSES
    )


def parse_retry_after(value: str | None, *, now: datetime) -> float | None:
    """Return the seconds that a `Retry-After` header asks to wait.

    Args:
        value: The header: seconds, also with a fraction, or an HTTP date
            (RFC 9110, section 10.2.3); None without the header.
        now: The caller's clock; aware.

    Returns:
        0 to `LONGEST_RETRY_AFTER_SECONDS`: a date in the past and negative numbers
        ask for 0, longer waits are cut. None for what is neither form.
    """
    if value is None:
        return None
    text = value.strip()
    # Not all that `float()` takes: `nan`, `inf` and `1_000` ask for nothing.
    is_number = _SECONDS.fullmatch(text) is not None
    seconds = float(text) if is_number else _seconds_until(text, now)
    if seconds is None:
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)


def _seconds_until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - now).total_seconds()
