"""The generated client with timeouts, retries and a guard on every answer.

Certificates and proxies stay httpx's own affair: retries wrap `send()`, not the
transport, since a transport of our own would take both over.
"""

import asyncio
import encodings.idna  # noqa: F401 - else loaded by the first look-up, fork or not
import gc
import os
import random
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any
from weakref import WeakKeyDictionary

import httpcore  # noqa: F401 - else httpx loads it with the first client, fork or not
import httpx
from attrs import define, field
from trackerapi_client import AuthenticatedClient

from trackerapi.errors import BackendError, BackendUnavailable
from trackerapi.retry import FailedAttempt, retry_delay_seconds
from trackerapi.wire.failures import (
    TRANSPORT_ERRORS,
    failure_of,
    is_distrust,
    no_answer,
    proxy_translated,
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
        self._began = time.monotonic()
        self._ends = self._began

    def begin(self) -> None:
        self._count += 1
        now = time.monotonic()
        left = self._patience.attempt_seconds
        if self._count > 1:
            left = min(left, self._began + self._patience.deadline_seconds - now)
        self._ends = now + left
        self._request.extensions["timeout"] = httpx.Timeout(left).as_dict()

    @property
    def seconds_left(self) -> float:
        return max(self._ends - time.monotonic(), 0.0)

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
        return retry_delay_seconds(
            FailedAttempt(
                method=self._request.method,
                attempt=self._count,
                elapsed_seconds=time.monotonic() - self._began,
                status=error.status,
                was_sent=error.exchange.was_sent,
                retry_after_seconds=error.retry_after_seconds,
            ),
            deadline_seconds=self._patience.deadline_seconds,
            jitter=random.random(),  # noqa: S311 - spreads load, hides nothing
        )


class GuardedHttp(httpx.Client):
    """An httpx client that answers usably or raises one of our errors."""

    def __init__(self, patience: Patience, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._patience = patience

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
                with attempts.translated():
                    return _within(attempts.seconds_left, attempt)
            except BackendUnavailable as error:
                delay = attempts.delay_after(error)
                if delay is None:
                    raise
            time.sleep(delay)


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


@define(repr=False, eq=False)
class BackendClient(AuthenticatedClient):
    """The generated client, ready with key, timeouts, retries and guard.

    Pass it to any generated call: `list_jobs.sync(client=tracker.client)`. Such a
    call returns the operation's model or raises a `BackendError`. Safe to share
    between threads and across a fork; the key does not show in the repr.
    """

    patience: Patience = field(
        default=Patience(attempt_seconds=10.0, deadline_seconds=30.0), kw_only=True
    )
    _pid: int = field(init=False, factory=os.getpid)
    _lock: threading.Lock = field(init=False, factory=threading.Lock)
    _async_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = (
        field(init=False, factory=WeakKeyDictionary)
    )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._base_url!r})"

    @property
    def base_url(self) -> str:
        """Address of the backend."""
        return self._base_url

    def change_key(self, key: str) -> None:
        """Use another key from the next request on."""
        self.close()
        self.token = key

    def get_httpx_client(self) -> httpx.Client:
        """Return the connection pool of this process, made on first use."""
        if self._pid != os.getpid():
            # Parent and child on one socket would mix their answers, and the lock
            # may have been held by a thread that the child does not have.
            self._drop_inherited()
        with self._lock:
            if self._client is None:
                with proxy_translated():
                    self._client = GuardedHttp(self.patience, **self._arguments())
        return self._client

    def get_async_httpx_client(self) -> httpx.AsyncClient:
        """Return the connection pool of the running event loop, made on first use.

        Raises:
            RuntimeError: If no event loop runs.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._async_clients:
            # A connection belongs to the loop that opened it.
            with proxy_translated():
                self._async_clients[loop] = GuardedAsyncHttp(
                    self.patience, **self._arguments()
                )
        return self._async_clients[loop]

    async def aclose(self) -> None:
        """Close the asynchronous connections of the running event loop."""
        client = self._async_clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def close(self) -> None:
        """Close the connections; a later call opens new ones.

        Those of an event loop are closed by `aclose()` in that loop.
        """
        if self._pid != os.getpid():
            self._drop_inherited()
        elif self._client is not None:
            self._client.close()
        self._client = None

    def _drop_inherited(self) -> None:
        """Let go of what belongs to the parent, in a child that a fork has made."""
        self._lock, self._pid = threading.Lock(), os.getpid()
        if self._client is None:
            return
        # Not closed in order: that takes a lock which nobody may be left to release.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            self._client = None
            gc.collect()

    def _arguments(self) -> dict[str, Any]:
        return {
            "base_url": self._base_url,
            "cookies": self._cookies,
            "headers": {**self._headers, self.auth_header_name: self.token},
            "verify": self._verify_ssl,
            "follow_redirects": False,  # would carry the key to another host
            **self._httpx_args,
        }
