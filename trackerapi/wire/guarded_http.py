"""HTTP clients with time limits, retries and a check of every answer.

Retries wrap `send()`, not the transport: the transport of httpx handles certificates
and proxies, and is not replaced. Only the network backend of its connection pools is
wrapped, which limits the time of reads and writes.
"""

import asyncio
import sys
import threading
from collections.abc import AsyncIterable, Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from queue import Empty, SimpleQueue
from typing import Any, Final, cast

import httpx

from trackerapi.errors import BackendError, BackendUnavailable
from trackerapi.process.clock import pause
from trackerapi.wire.attempts import Attempts, TimeLimits
from trackerapi.wire.bodies import is_known_coding
from trackerapi.wire.network import (
    AsyncBoundedBackend,
    BoundedBackend,
    connection_of,
    limited_to,
)

EVENT_STREAM: Final = "text/event-stream"
"""Media type of Server-Sent Events."""


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Answer whose body the caller reads.

    Attributes:
        response: The answer, with status 200.
        translate_errors: Context manager for reads of the body, which turns exceptions
            of httpx into `BackendUnavailable`.
    """

    response: httpx.Response
    translate_errors: Callable[[], AbstractContextManager[None]]


class GuardedHttp(httpx.Client):
    """httpx client that returns a checked answer or raises a `BackendError`.

    Args:
        time_limits: Time limits of each request.
        proxy_text: The proxy and the setting that names it; empty without a proxy.
        arguments: Further arguments of `httpx.Client`.
    """

    def __init__(
        self, time_limits: TimeLimits, proxy_text: str = "", **arguments: Any
    ) -> None:
        super().__init__(cookies=_no_cookies(), **arguments)
        self._time_limits, self._proxy_text = time_limits, proxy_text
        for pool in _pools(self):
            pool._network_backend = BoundedBackend(pool._network_backend)  # noqa: SLF001
        # Reentrant: a signal handler may call `retire()` in code that has the lock.
        self._lock = threading.RLock()
        self._busy_count, self._is_retired = 0, False

    def retire(self) -> None:
        """Close the connections once no request uses them; do not block.

        Unlike after `close()`, a thread with a reference to this client may still send.
        """
        with self._lock:
            self._is_retired = True
            self._close_if_idle()

    def build_request(self, *arguments: Any, **members: Any) -> httpx.Request:
        """Build a request with a body that can be sent again."""
        return super().build_request(*arguments, **_readable_again(members))

    def send(
        self, request: httpx.Request, *, stream: bool = False, **arguments: Any
    ) -> httpx.Response:
        """Send a request; repeat it after failures that allow a repetition.

        Blocks for the time limits of the client at most.

        Args:
            request: The request.
            stream: Whether the caller reads the body of a successful answer itself.
            arguments: Further arguments of `httpx.Client.send()`.

        Raises:
            BackendError: If no attempt brought a usable answer.
        """
        attempts = Attempts(request, self._time_limits, self.timeout, self._proxy_text)
        send_once = super().send

        def attempt() -> httpx.Response:
            # The thread of the attempt counts the use of the client: the attempt may
            # still read from its connection after the caller has abandoned it.
            with self._in_use(), limited_to(attempts.budget):
                response = send_once(request, stream=True, **arguments)
                if stream and _is_streamable(response):
                    return response
                return attempts.finish(response, _read(response, attempts))

        while True:
            attempts.begin()
            try:
                with attempts.translate_errors():
                    return _run_within(attempts.seconds_left, attempt)
            except BackendUnavailable as error:
                delay = attempts.delay_after(error)
                if delay is None:
                    raise
            except BackendError:
                raise
            except Exception:
                # A connection in a broken state would raise for each later request.
                self._close_idle_connections()
                raise
            pause(delay)

    @contextmanager
    def streaming(self, request: httpx.Request) -> Generator[OpenStream]:
        """Yield the answer to one attempt of a request for a stream of events.

        Blocks for the time limit of an attempt at most. The end of the block closes
        the connection.

        Raises:
            BackendError: If the answer is no stream of events.
        """
        attempts = Attempts(request, self._time_limits, self.timeout, self._proxy_text)
        # A proxy would collect messages to compress them.
        request.headers["Accept-Encoding"] = "identity"
        send_once = super().send

        def attempt() -> httpx.Response:
            with self._in_use(), limited_to(attempts.budget):
                response = send_once(request, stream=True)
                if _is_event_stream(response):
                    return response
                attempts.finish(response, _read(response, attempts))
                raise BackendUnavailable("the answer is no stream of events")

        attempts.begin()
        with self._in_use():
            with attempts.translate_errors():
                response = _run_within(attempts.seconds_left, attempt)
            try:
                yield OpenStream(response, attempts.translate_errors)
            finally:
                # Bytes behind the stream would be read as the next answer.
                connection_of(response).is_spoiled = True
                response.close()

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
            # The transports, not the client: a closed client rejects later requests.
            for transport in (self._transport, *self._mounts.values()):
                if transport is not None:
                    transport.close()

    def _close_idle_connections(self) -> None:
        # Busy connections stay open: other threads read from them.
        for pool in _pools(self):
            with pool._optional_thread_lock:  # noqa: SLF001
                idle = [each for each in pool.connections if each.is_idle()]
                for connection in idle:
                    pool._connections.remove(connection)  # noqa: SLF001
            for connection in idle:
                connection.close()


class GuardedAsyncHttp(httpx.AsyncClient):
    """Asynchronous twin of `GuardedHttp`; `Attempts` decides about retries in both."""

    def __init__(
        self, time_limits: TimeLimits, proxy_text: str = "", **arguments: Any
    ) -> None:
        super().__init__(cookies=_no_cookies(), **arguments)
        self._time_limits, self._proxy_text = time_limits, proxy_text
        for pool in _pools(self):
            pool._network_backend = AsyncBoundedBackend(pool._network_backend)  # noqa: SLF001

    def build_request(self, *arguments: Any, **members: Any) -> httpx.Request:
        """Build a request with a body that can be sent again, and asynchronously."""
        return super().build_request(*arguments, **_readable_again(members))

    async def send(
        self, request: httpx.Request, *, stream: bool = False, **arguments: Any
    ) -> httpx.Response:
        """Send a request; see `GuardedHttp.send()`."""
        attempts = Attempts(request, self._time_limits, self.timeout, self._proxy_text)
        while True:
            attempts.begin()
            try:
                with attempts.translate_errors():
                    async with asyncio.timeout(attempts.seconds_left):
                        with limited_to(attempts.budget):
                            response = await super().send(
                                request, stream=True, **arguments
                            )
                            if stream and _is_streamable(response):
                                return response
                            body = await _aread(response, attempts)
                    return attempts.finish(response, body)
            except BackendUnavailable as error:
                delay = attempts.delay_after(error)
                if delay is None:
                    raise
            await asyncio.sleep(delay)


def _run_within(
    seconds: float, attempt: Callable[[], httpx.Response]
) -> httpx.Response:
    """Run an attempt in a thread; return its result, or abandon it at the time limit.

    httpx bounds each read but not their sum: a server that drips its answer would
    block the caller for ever.

    Raises:
        TimeoutError: If the attempt did not end in time.
    """
    outcome = _AttemptResult()
    # While the interpreter finalizes, `Thread.start()` would block for ever.
    if sys.is_finalizing():
        return attempt()
    try:
        threading.Thread(
            target=outcome.fill, args=(attempt,), name="trackerapi-request", daemon=True
        ).start()
    except RuntimeError:
        # The interpreter ends, or the process has too many threads.
        return attempt()
    return outcome.take(seconds)


class _AttemptResult:
    """Answer or exception of an attempt, passed from its thread to the caller."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[httpx.Response | BaseException] = SimpleQueue()
        self._is_abandoned = False

    def fill(self, attempt: Callable[[], httpx.Response]) -> None:
        """Run the attempt in this thread."""
        try:
            self._queue.put(attempt())
        except BaseException as error:  # noqa: BLE001 - raised again by the caller
            self._queue.put(error)
        if self._is_abandoned:
            self._close()

    def take(self, seconds: float) -> httpx.Response:
        """Return the answer, or raise the exception of the attempt.

        Raises:
            TimeoutError: If the attempt did not end in time.
        """
        try:
            result = self._queue.get(timeout=seconds)
        except BaseException as error:
            # An answer that arrives now would keep its connection. The later of the two
            # calls of `_close()` finds the answer.
            self._is_abandoned = True
            self._close()
            if isinstance(error, Empty):
                raise TimeoutError from None
            raise
        if isinstance(result, BaseException):
            raise result
        return result

    def _close(self) -> None:
        with suppress(Empty):
            result = self._queue.get_nowait()
            if isinstance(result, httpx.Response):
                result.close()


def _read(response: httpx.Response, attempts: Attempts) -> bytes:
    try:
        with attempts.reading(response) as body:
            # `iter_bytes()` would unpack without a size limit.
            for chunk in cast("Iterable[bytes]", response.stream):
                body.add(chunk)
            content = body.finish()
    finally:
        response.close()
    return content


async def _aread(response: httpx.Response, attempts: Attempts) -> bytes:
    try:
        with attempts.reading(response) as body:
            async for chunk in cast("AsyncIterable[bytes]", response.stream):
                body.add(chunk)
            content = body.finish()
    finally:
        await response.aclose()
    return content


def _is_streamable(response: httpx.Response) -> bool:
    """Return whether the caller of a stream may read the body itself."""
    coding = response.headers.get("content-encoding", "")
    return response.is_success and is_known_coding(coding)


def _is_event_stream(response: httpx.Response) -> bool:
    """Return whether an answer is a stream of events that no proxy has encoded."""
    media_type = response.headers.get("content-type", "").partition(";")[0]
    coding = response.headers.get("content-encoding", "identity")
    is_stream = media_type.strip().lower() == EVENT_STREAM
    return response.status_code == httpx.codes.OK and is_stream and coding == "identity"


def _no_cookies() -> CookieJar:
    """Return a jar that stays empty: a captive portal could fill it endlessly."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def _pools(client: httpx.Client | httpx.AsyncClient) -> Iterable[Any]:
    """Yield the connection pools of a client; httpx makes one for each proxy."""
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
        pool = getattr(transport, "_pool", None)
        if hasattr(pool, "_network_backend"):
            yield pool


def _readable_again(members: dict[str, Any]) -> dict[str, Any]:
    """Replace a file as body by its content.

    httpx can send a file only once, and its asynchronous client cannot send files.
    """
    content: Any = members.get("content")
    if content is None or not hasattr(content, "read"):
        return members
    return {**members, "content": content.read()}
