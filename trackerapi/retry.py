"""Retry policy of read calls (`wire`) and deliveries (`delivery`), as pure functions.

Callers pass the times and the random numbers: the functions do no I/O.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_DELAY_SECONDS = 0.25
MAX_DELAY_SECONDS = 60.0
MAX_RETRY_AFTER_SECONDS = 300.0
"""Maximum accepted `Retry-After`: one faulty answer must not stop the delivery.
"""

MAX_DOUBLINGS = 16

REPEATABLE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Idempotent methods: a second request changes nothing (RFC 9110, section 9.2.2)."""

UNPROCESSED_STATUSES = frozenset({425, 429})
"""Statuses of requests that the backend did not process."""

_SECONDS = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """A failed attempt: the facts for a retry decision.

    Attributes:
        method: HTTP method in capitals.
        attempt: Number of attempts so far; 1 after the first failure.
        elapsed_seconds: Time since the begin of the first attempt.
        status: HTTP status of the answer; None without an answer.
        was_sent: False if the request certainly did not reach the backend.
        retry_after_seconds: Delay from `Retry-After`; None without this header.
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
    """Return the delay before the next attempt; None for no further attempt.

    The delay is exponential with full jitter and has a limit. It is at least the
    delay from `Retry-After`.

    Args:
        failure: The attempt that got no usable answer.
        deadline_seconds: Time limit of all attempts and delays together.
        jitter: Random factor of the delay, 0.0 to 1.0.

    Returns:
        Seconds. None if the request must not be repeated, or if the delay would pass
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
    longest_seconds: float = MAX_DELAY_SECONDS,
) -> float:
    """Return the delay after a failure in seconds: exponential with full jitter.

    Args:
        attempt: Number of attempts so far; 1 after the first failure.
        jitter: Random factor of the delay, 0.0 to 1.0.
        retry_after_seconds: Delay from `Retry-After`; used if it is longer.
        longest_seconds: Maximum delay. A `retry_after_seconds` above this maximum is
            still used.
    """
    # Bound the exponent first: 2.0**1024 raises OverflowError.
    doublings = min(attempt - 1, MAX_DOUBLINGS)
    longest = min(FIRST_DELAY_SECONDS * 2.0**doublings, longest_seconds)
    return max(longest * jitter, retry_after_seconds or 0.0)


def may_repeat(failure: FailedAttempt) -> bool:
    """Return whether a second attempt is safe.

    A second attempt is safe with an idempotent method, and with any method if the
    backend certainly did not process the request.
    """
    return (
        failure.method in REPEATABLE_METHODS
        or not failure.was_sent
        or failure.status in UNPROCESSED_STATUSES
    )


def parse_retry_after(value: str | None, *, now: datetime) -> float | None:
    """Return the delay in a `Retry-After` header, in seconds.

    Args:
        value: The header: seconds, also with a fraction, or an HTTP date
            (RFC 9110, section 10.2.3); None without the header.
        now: Current time of the caller's clock; aware.

    Returns:
        0 to `MAX_RETRY_AFTER_SECONDS`. A date in the past and a negative number
        count as 0, a longer delay is cut. None for any other text.
    """
    if value is None:
        return None
    text = value.strip()
    # `float()` alone would accept `nan`, `inf` and `1_000`.
    is_number = _SECONDS.fullmatch(text) is not None
    seconds = float(text) if is_number else _seconds_until(text, now)
    if seconds is None:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _seconds_until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - now).total_seconds()
