"""HTTP with timeouts, retries and a guard on every answer.

Certificates and proxies stay httpx's own affair: retries wrap `send()`, not the
transport, since a transport of our own would take both over.
"""

import asyncio
import logging
import random
import sys
import threading
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import httpx

from trackerapi.delivery.report import log
from trackerapi.errors import BackendError, BackendUnavailable
from trackerapi.retry import FailedAttempt, retry_delay_seconds
from trackerapi.steady import pause, steady_seconds
from trackerapi.wire.failures import (
    TRANSPORT_ERRORS,
    failure_of,
    is_distrust,
    no_answer,
)

MAX_ANSWER_BYTES = 32 * 1024 * 1024
SHORTEST_SECRET = 12
"""Characters of a key below which it may be any word of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for an answer.

    Attributes:
        attempt_seconds: Longest wait for one answer, to its last byte.
        deadline_seconds: Time for all attempts and waits together; 0 for one attempt.
    """

    attempt_seconds: float
    deadline_seconds: float


class _Attempts:
    """The attempts of one request: their limits, and what follows a failure."""

    def __init__(self, request: httpx.Request, patience: Patience) -> None:
        self._request, self._patience = request, patience
        self._count = 0
        self._began = steady_seconds()
        self._ends = self._began

    def begin(self) -> None:
        self._count += 1
        now = steady_seconds()
        left = self._patience.attempt_seconds
        if self._count > 1:
            left = min(left, self._began + self._patience.deadline_seconds - now)
        self._ends = now + left
        self._request.extensions["timeout"] = httpx.Timeout(left).as_dict()

    @property
    def seconds_left(self) -> float:
        return max(self._ends - steady_seconds(), 0.0)

    def check_size_and_time(self, size_bytes: int) -> None:
        # What was left behind must end too, not read a drip for ever.
        if self.seconds_left == 0.0:
            raise httpx.ReadTimeout("answer too slow", request=self._request)
        if size_bytes > MAX_ANSWER_BYTES:
            raise httpx.DecodingError("answer too large", request=self._request)

    def finish(self, response: httpx.Response, body: bytes) -> httpx.Response:
        # A server that repeats the key must not bring it into a log or the outbox.
        key = self._request.headers.get("x-api-key", "").encode()
        if len(key) >= SHORTEST_SECRET:
            body = body.replace(key, b"[the key]")
        failure = failure_of(
            self._request, response.status_code, response.headers, body
        )
        if failure is not None:
            raise failure
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name not in {"content-encoding", "content-length", "transfer-encoding"}
        ]
        return httpx.Response(
            response.status_code, headers=headers, content=body, request=self._request
        )

    @contextmanager
    def translated(self) -> Generator[None]:
        """Turn what httpx raises into our errors."""
        try:
            yield
        except BackendError:
            raise
        except TRANSPORT_ERRORS as error:
            raise no_answer(self._request, error) from error

    def delay_after(self, error: BackendUnavailable) -> float | None:
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


class GuardedHttp(httpx.Client):
    """An httpx client that answers usably or raises one of our errors."""

    def __init__(self, patience: Patience, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._patience = patience
        # A signal handler may close what it has interrupted.
        self._lock = threading.RLock()
        self._busy_count, self._is_retired = 0, False

    def retire(self) -> None:
        """Close the connections as soon as no request uses them any more.

        Unlike after `close()`, a thread that is about to send still can: it has got
        this client before another thread retired it.
        """
        with self._lock:
            self._is_retired = True
            self._close_if_idle()

    def send(
        self, request: httpx.Request, *, stream: bool = False, **arguments: Any
    ) -> httpx.Response:
        """Send `request`, again where that can help and do no harm.

        With `stream`, the caller reads the body of a good answer itself.

        Raises:
            BackendError: If no attempt brought a usable answer.
        """
        attempts = _Attempts(request, self._patience)
        send_once = super().send

        def attempt() -> httpx.Response:
            response = send_once(request, stream=True, **arguments)
            if stream and response.is_success:
                return response
            return attempts.finish(response, _read(response, attempts))

        while True:
            attempts.begin()
            try:
                with attempts.translated(), self._in_use():
                    return _within(attempts.seconds_left, attempt)
            except BackendUnavailable as error:
                delay = attempts.delay_after(error)
                if delay is None:
                    raise
            pause(delay)

    @contextmanager
    def _in_use(self) -> Generator[None]:
        with self._lock:
            self._busy_count += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy_count -= 1
                if self._is_retired:
                    self._close_if_idle()

    def _close_if_idle(self) -> None:
        if not self._busy_count:
            # Not the client itself, which would refuse what comes late.
            for transport in (self._transport, *self._mounts.values()):
                if transport is not None:
                    transport.close()


class GuardedAsyncHttp(httpx.AsyncClient):
    """The asynchronous twin of `GuardedHttp`; all decisions are shared."""

    def __init__(self, patience: Patience, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._patience = patience

    async def send(
        self, request: httpx.Request, *, stream: bool = False, **arguments: Any
    ) -> httpx.Response:
        """Send `request` as `GuardedHttp.send()` does."""
        attempts = _Attempts(request, self._patience)
        while True:
            attempts.begin()
            try:
                with attempts.translated():
                    async with asyncio.timeout(attempts.seconds_left):
                        response = await super().send(request, stream=True, **arguments)
                        if stream and response.is_success:
                            return response
                        body = await _aread(response, attempts)
                    return attempts.finish(response, body)
            except BackendUnavailable as error:
                delay = attempts.delay_after(error)
                if delay is None:
                    raise
            await asyncio.sleep(delay)


def _within(seconds: float, attempt: Callable[[], httpx.Response]) -> httpx.Response:
    """Return what `attempt` returns, or leave it behind when the time is over.

    httpx bounds each read but not their sum: a server that drips its answer would
    hold the caller for as long as it likes.

    Raises:
        TimeoutError: If the attempt did not end in time.
    """
    outcome: SimpleQueue[httpx.Response | BaseException] = SimpleQueue()

    def run() -> None:
        try:
            outcome.put(attempt())
        except BaseException as error:  # noqa: BLE001 - raised again by the caller
            outcome.put(error)

    if sys.is_finalizing():  # a thread would be waited for that cannot begin
        return attempt()
    try:
        threading.Thread(target=run, name="trackerapi-request", daemon=True).start()
    except RuntimeError:
        # At the end of the interpreter, or at a limit, there are no more threads.
        return attempt()
    try:
        result = outcome.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
    if isinstance(result, BaseException):
        raise result
    return result


def _read(response: httpx.Response, attempts: _Attempts) -> bytes:
    body = bytearray()
    try:
        for chunk in response.iter_bytes():
            body += chunk
            attempts.check_size_and_time(len(body))
    finally:
        response.close()
    return bytes(body)


async def _aread(response: httpx.Response, attempts: _Attempts) -> bytes:
    body = bytearray()
    chunks: AsyncIterator[bytes] = response.aiter_bytes()
    try:
        async for chunk in chunks:
            body += chunk
            attempts.check_size_and_time(len(body))
    finally:
        await response.aclose()
    return bytes(body)
