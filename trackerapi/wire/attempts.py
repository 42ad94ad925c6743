"""The attempts of one request: limits, reading of the answer, decision to repeat."""

import logging
import random
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from trackerapi.errors import BackendError, BackendUnavailable
from trackerapi.problems import log
from trackerapi.process.clock import steady_seconds
from trackerapi.retry import FailedAttempt, retry_delay_seconds
from trackerapi.wire.answer_check import InvalidAnswer
from trackerapi.wire.bodies import CODINGS, Body, longest_body
from trackerapi.wire.failures import (
    TRANSPORT_ERRORS,
    is_distrust,
    no_answer,
    not_ours,
    read_answer,
)
from trackerapi.wire.network import AttemptBudget, connection_of, is_followed


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimits:
    """How long to wait for an answer.

    Attributes:
        attempt_seconds: Longest wait for one answer, to its last byte.
        deadline_seconds: Time for all attempts and waits together; 0 for one attempt.
    """

    attempt_seconds: float
    deadline_seconds: float


class Attempts:
    """The attempts of one request: their limits, and the decision after a failure.

    Attributes:
        allowance: Time and bytes that the present attempt may still use.
    """

    def __init__(
        self,
        request: httpx.Request,
        time_limits: TimeLimits,
        timeout: httpx.Timeout,
        proxy: str = "",
    ) -> None:
        self._request, self._patience, self._timeout = request, time_limits, timeout
        self._proxy = proxy
        self._count = 0
        self._began = steady_seconds()
        self.allowance = AttemptBudget(self._began)
        # Those of others, that httpx may know, cannot be unpacked within bounds.
        request.headers["Accept-Encoding"] = CODINGS

    def begin(self) -> None:
        """Begin the next attempt."""
        self._count += 1
        now = steady_seconds()
        left = self._patience.attempt_seconds
        if self._count > 1:
            left = min(left, self._began + self._patience.deadline_seconds - now)
        self.allowance = AttemptBudget(now + left)
        self._request.extensions["timeout"] = {
            phase: left if seconds is None else min(left, seconds)
            for phase, seconds in self._timeout.as_dict().items()
        }

    @property
    def seconds_left(self) -> float:
        """Time until the attempt is over."""
        return max(self.allowance.ends - steady_seconds(), 0.0)

    @contextmanager
    def reading(self, response: httpx.Response) -> Generator[Body]:
        """Provide the collector for the body of `response`.

        Raises:
            BackendUnavailable: If the answer is not from a tracker backend.
        """
        longest = longest_body(self._request.method, response.status_code)
        self.allowance.bytes_left += longest
        connection = connection_of(response)
        try:
            connection.note_answer(response.headers.get("x-request-id"))
            yield Body(response.headers.get("content-encoding", ""), longest)
        except InvalidAnswer as fault:
            connection.is_spoiled = True
            raise not_ours(
                self._request, response.status_code, response.headers, fault
            ) from None
        connection.is_spoiled |= is_followed(response)

    def finished(self, response: httpx.Response, body: bytes) -> httpx.Response:
        """Check an answer whose body was read, and return it.

        Raises:
            BackendError: If it is a failure, or not from a tracker backend.
        """
        content = read_answer(
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
    def translated(self) -> Generator[None]:
        """Turn exceptions of httpx into our errors."""
        try:
            yield
        except BackendError:
            raise
        except TRANSPORT_ERRORS as error:
            failure = no_answer(self._request, error, self._proxy)
            raise failure from failure.__cause__

    def delay_after(self, error: BackendUnavailable) -> float | None:
        """Return how long to wait before the next attempt; None to make none."""
        if is_distrust(error):
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
            deadline_seconds=self._patience.deadline_seconds,
            jitter=random.random(),  # noqa: S311 - spreads load, hides nothing
        )
        if delay is not None and self._count == 1:
            # Once: whoever waits for an answer may wait for a while.
            most = self._patience.deadline_seconds
            log(logging.INFO, f"{error} (asking again, for at most {most:g} s)")
        return delay
