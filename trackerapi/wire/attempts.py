"""Attempts of one HTTP request: time limits, check of the answer, repetition."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from trackerapi.errors import BackendError, BackendUnavailable
from trackerapi.problems import log
from trackerapi.process.clock import steady_seconds
from trackerapi.process.randomness import RANDOM
from trackerapi.retry import FailedAttempt, retry_delay_seconds
from trackerapi.wire.answer_check import InvalidAnswer
from trackerapi.wire.bodies import CODINGS, Body, max_body_bytes
from trackerapi.wire.failures import (
    TRANSPORT_ERRORS,
    check_body,
    invalid_answer,
    is_certificate_error,
    transport_failure,
)
from trackerapi.wire.network import AttemptBudget, connection_of, has_trailing_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimits:
    """Time limits of a request.

    Attributes:
        attempt_seconds: Maximum time of one attempt, to the last byte of the answer.
        deadline_seconds: Maximum time of all attempts and pauses; 0 for one attempt.
    """

    attempt_seconds: float
    deadline_seconds: float


class Attempts:
    """Attempts of one request; the blocking and the asynchronous client share them.

    Args:
        request: The request.
        time_limits: Time limits of the attempts.
        timeout: Timeouts of httpx for the phases of one attempt.
        proxy_text: The proxy and the setting that names it; empty without a proxy.

    Attributes:
        budget: Time and bytes that the present attempt may still use.
    """

    def __init__(
        self,
        request: httpx.Request,
        time_limits: TimeLimits,
        timeout: httpx.Timeout,
        proxy_text: str = "",
    ) -> None:
        self._request, self._time_limits = request, time_limits
        self._timeout, self._proxy_text = timeout, proxy_text
        self._count = 0
        self._began = steady_seconds()
        self.budget = AttemptBudget(self._began)
        # httpx may accept further codings (brotli, zstd), which this library cannot
        # unpack within a size limit.
        request.headers["Accept-Encoding"] = CODINGS

    def begin(self) -> None:
        """Begin the next attempt: set its budget and timeouts."""
        self._count += 1
        now = steady_seconds()
        seconds = self._time_limits.attempt_seconds
        if self._count > 1:
            deadline = self._began + self._time_limits.deadline_seconds
            seconds = min(seconds, deadline - now)
        self.budget = AttemptBudget(now + seconds)
        self._request.extensions["timeout"] = {
            phase: seconds if limit is None else min(seconds, limit)
            for phase, limit in self._timeout.as_dict().items()
        }

    @property
    def seconds_left(self) -> float:
        """Seconds until the end of the present attempt; 0 or more."""
        return max(self.budget.ends_at - steady_seconds(), 0.0)

    @contextmanager
    def reading(self, response: httpx.Response) -> Generator[Body]:
        """Yield the collector for the body of `response`.

        Raises:
            BackendUnavailable: If the answer is not from a tracker backend.
        """
        max_bytes = max_body_bytes(self._request.method, response.status_code)
        self.budget.bytes_left += max_bytes
        connection = connection_of(response)
        try:
            connection.note_answer(response.headers.get("x-request-id"))
            yield Body(response.headers.get("content-encoding", ""), max_bytes)
        except InvalidAnswer as fault:
            # The unread bytes would be read as the answer to the next request.
            connection.is_spoiled = True
            raise invalid_answer(
                self._request, response.status_code, response.headers, fault
            ) from None
        connection.is_spoiled |= has_trailing_bytes(response)

    def finish(self, response: httpx.Response, body: bytes) -> httpx.Response:
        """Check an answer, and return it with its unpacked body.

        Raises:
            BackendError: If the answer is a failure, or not from a tracker backend.
        """
        content = check_body(
            self._request, response.status_code, response.headers, body
        )
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name not in {"content-encoding", "content-length", "transfer-encoding"}
        ]
        return httpx.Response(
            response.status_code,
            headers=headers,
            content=content,
            request=self._request,
        )

    @contextmanager
    def translate_errors(self) -> Generator[None]:
        """Turn exceptions of httpx into `BackendUnavailable`."""
        try:
            yield
        except BackendError:
            raise
        except TRANSPORT_ERRORS as error:
            failure = transport_failure(self._request, error, self._proxy_text)
            raise failure from failure.__cause__

    def delay_after(self, error: BackendUnavailable) -> float | None:
        """Return the seconds until the next attempt; None if no attempt follows."""
        if is_certificate_error(error):
            return None
        delay = retry_delay_seconds(
            FailedAttempt(
                method=self._request.method,
                attempt=self._count,
                elapsed_seconds=steady_seconds() - self._began,
                status=error.status,
                was_sent=error.exchange.was_sent,
                retry_after_seconds=error.retry_after_seconds,
            ),
            deadline_seconds=self._time_limits.deadline_seconds,
            jitter=RANDOM.random(),
        )
        if delay is not None and self._count == 1:
            # Log the first failure only: one line tells the user why the caller blocks.
            seconds = self._time_limits.deadline_seconds
            log(logging.INFO, f"{error} (retrying for at most {seconds:g} s)")
        return delay
