"""HTTP protocol of a connection, which answers requests in the order of arrival.

httptools parses the bytes, and the protocol class of uvicorn runs the application. The
subclass here limits the size of a request head, the number of waiting requests and the
time of a slow client. It also rejects invalid requests that the parser accepts, and
answers each invalid request with a problem document.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import (
    HttpToolsProtocol,
    RequestResponseCycle,
)

from trackerapi_backend.app import rejection
from trackerapi_backend.network import time_limits
from trackerapi_backend.network.heads import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    below_root,
    check_head,
    head_too_large,
    malformed,
    split_target,
)
from trackerapi_backend.network.transports import JoinedWrites, LastResponse
from trackerapi_backend.problems import Problem, unavailable

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveEvent
    from uvicorn.config import Config
    from uvicorn.server import ServerState

MAX_WAITING_REQUESTS = 100
"""Maximum number of requests of one connection that wait for earlier responses.

A waiting request needs about 3 KB, and a client can send thousands of requests at once.
"""

NEW_CONNECTION_SECONDS = 0.3
"""Time in which a new connection may send its first request during a shutdown."""


class HttpProtocol(HttpToolsProtocol):
    """One connection to the server.

    The server closes the connection after a rejected request: the server cannot know
    where the next request begins.
    """

    # Newest request; `_running` is the request whose application has started last.
    cycle: _Exchange

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # Bytes received since the parser called `on_headers_complete()`, `on_body()` or
        # `on_message_complete()` last. A limit of this number bounds headers, trailers
        # and chunk extensions.
        self._bytes_without_progress = 0
        self._has_open_head = self._has_open_body = False
        self._is_rejected = self._is_ending = False
        # `_since`: start of the open head, of the open body, or of the idle time.
        # `_progress_at`: time of the latest part of the open body.
        self._since = self._progress_at = time.monotonic()
        self._unsent = time_limits.UnsentData()
        self._running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin the connection with a transport that joins small writes."""
        super().connection_made(transport)
        self.transport = JoinedWrites(transport, self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the connection and the running request.

        uvicorn ends only the newest request, which may wait behind the running request.
        """
        super().connection_lost(exc)
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()

    def _start_asgi_task(
        self, cycle: RequestResponseCycle, app: ASGI3Application
    ) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes; ignore all bytes after a rejected request."""
        if self._is_rejected:
            return
        self._bytes_without_progress += len(data)
        try:
            self._feed(data)
            is_large = self._bytes_without_progress > MAX_HEAD_BYTES
            if is_large or (self._has_open_head and len(self.headers) > MAX_HEADERS):
                raise head_too_large()
        except httptools.HttpParserError as error:
            self._reject(_problem_of(error))
        except Problem as problem:
            self._reject(problem)

    def _feed(self, data: bytes | memoryview) -> None:
        """Parse bytes; answer a request with `Upgrade` as if it had no such header.

        The Java HTTP client asks for HTTP/2 by `Upgrade`. The parser stops after such a
        head and treats the body as data of the other protocol. So a new parser reads
        the same head without `Upgrade`, and then the body.
        """
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = memoryview(data)[upgrade.args[0] :]
            else:
                return
            version = self.scope["http_version"].encode()
            lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
            lines += [
                b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"
            ]
            self.parser = httptools.HttpRequestParser(self)
            self.parser.feed_data(b"\r\n".join([*lines, b"", b""]))

    def on_message_begin(self) -> None:
        """Begin the head of a request."""
        self._has_open_head, self._since = True, time.monotonic()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header to the request; ignore trailers, which follow the body."""
        if not self._has_open_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the request once its head is complete and valid."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self.scope["method"] = method.decode("ascii")
        self.scope["http_version"] = version
        if self.parser.should_upgrade() and method != b"CONNECT":
            return  # `_feed()` parses the head again, without `Upgrade`.
        check_head(version, self.url, self.headers)
        path, query = split_target(self.url)
        if self.root_path:
            path = below_root(path, self.root_path.encode())
        self.scope["raw_path"] = path
        text = path.decode("ascii")
        self.scope["path"] = unquote(text) if "%" in text else text
        self.scope["query_string"] = query
        if len(self.pipeline) >= MAX_WAITING_REQUESTS:
            raise unavailable("Too many requests wait on this connection.")
        self._bytes_without_progress = 0
        self._has_open_head, self._has_open_body = False, True
        self._since = self._progress_at = time.monotonic()
        is_kept_alive = version == "1.1" and self.parser.should_keep_alive()
        is_kept_alive = is_kept_alive and not self._is_ending
        self._begin(self.app, self.transport, is_kept_alive=is_kept_alive)

    def _begin(
        self,
        app: ASGI3Application,
        transport: asyncio.Transport,
        *,
        is_kept_alive: bool,
    ) -> None:
        """Start the application of a request, or queue it behind earlier requests."""
        earlier = self.cycle
        self.cycle = cycle = _Exchange(
            scope=self.scope,
            transport=transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=is_kept_alive,
            on_response=self.on_response_complete,
        )
        if earlier is None or earlier.response_complete:
            self._start_asgi_task(cycle, app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))

    def on_body(self, body: bytes) -> None:
        """Add a part of the body to the request."""
        self._bytes_without_progress = 0
        self._progress_at = time.monotonic()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the body of the request."""
        if self._has_open_body:
            self._has_open_body = False
            self._bytes_without_progress = 0
            super().on_message_complete()
            self._begin_wait()

    def on_response_complete(self) -> None:
        """Start the next waiting request; if none waits, start the idle time."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._begin_wait()

    def _begin_wait(self) -> None:
        """Start the idle time, unless the client is sending a head or a body."""
        if not (self._has_open_head or self._has_open_body):
            self._since = time.monotonic()

    def shutdown(self) -> None:
        """Close the connection after the running response.

        Waiting requests are dropped, and the client has to repeat them. On a new
        connection, the first request may be on its way: the connection stays open for
        `NEW_CONNECTION_SECONDS`, and the request is answered.
        """
        self._is_ending = True
        self.pipeline.clear()
        if self._running is None:
            self.loop.call_later(NEW_CONNECTION_SECONDS, self._close_unused)
        elif self._running.response_complete:
            self.transport.close()
        else:
            self._running.keep_alive = False

    def _close_unused(self) -> None:
        if self._running is None:
            self.transport.close()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def check_time(self, now: float) -> None:
        """Close the connection, or reject its request, if the client is too slow.

        Args:
            now: Time of `time.monotonic()`.
        """
        if self._unsent.seconds(self.transport, now) > time_limits.STALL_SECONDS:
            self.transport.abort()
        elif self.flow.read_paused:
            # The server does not read now, so the client cannot send.
            self._since = self._progress_at = now
        elif not self.transport.is_closing():
            self._check_request(now - self._since, now - self._progress_at)

    def _check_request(self, seconds: float, pause_seconds: float) -> None:
        """Apply the time limits of bodies, heads and idle connections."""
        if self._has_open_body:
            is_paused = pause_seconds > time_limits.BODY_PAUSE_SECONDS
            if is_paused or seconds > time_limits.BODY_SECONDS:
                self._reject(_too_slow("body"))
        elif self._has_open_head:
            if seconds > time_limits.HEAD_SECONDS:
                self._reject(_too_slow("head"))
        elif not self._is_answering:
            is_new = self.cycle is None
            limit = time_limits.HEAD_SECONDS if is_new else time_limits.IDLE_SECONDS
            if seconds > limit:
                self.transport.close()

    def eviction_order(self, now: float) -> tuple[int, float] | None:
        """Return the sort key for eviction, smallest first; None for no eviction.

        The key is the class of the connection and the time when its state began:

        - 0: idle after a response.
        - 1: without a complete request.
        - 2: the client has read nothing for `EVICTED_STALL_SECONDS`.

        Args:
            now: Time of `time.monotonic()`.
        """
        if self.transport.get_write_buffer_size():
            since = self._unsent.since
            is_stalled = since and now - since > time_limits.EVICTED_STALL_SECONDS
            return (2, since) if since and is_stalled else None
        if self._is_answering:
            return None
        has_begun = self._has_open_head or self._has_open_body
        return (1 if has_begun or self.cycle is None else 0, self._since)

    def _reject(self, problem: Problem) -> None:
        """Answer an invalid request after all earlier responses, then close."""
        self._is_rejected = True
        transport = LastResponse(self.transport)
        has_open_body, self._has_open_body = self._has_open_body, False
        if has_open_body:
            # `receive()` raises the problem when the application reads the body.
            self.cycle.fail(problem, transport)
            return
        # No application has the request: run an application that returns the problem.
        method = self.scope.get("method", "") if self.scope else ""
        super().on_message_begin()
        self._has_open_head = False
        self.scope |= {
            "method": method,
            "path": "",
            "raw_path": b"",
            "query_string": b"",
        }
        app = cast("ASGI3Application", rejection(problem))
        self._begin(app, transport, is_kept_alive=False)


class _Exchange(RequestResponseCycle):
    """One request and its response."""

    problem: Problem | None = None

    def fail(self, problem: Problem, transport: asyncio.Transport) -> None:
        """Make `receive()` raise a problem in place of the rest of the body.

        If the response has begun, close the connection instead.
        """
        if self.response_started:
            self.transport.close()
            return
        self.problem, self.transport, self.keep_alive = problem, transport, False
        self.message_event.set()

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next part of the body.

        Raises:
            Problem: If the body is not valid HTTP, or arrives too slowly.
        """
        message = await super().receive()
        if self.problem is not None:
            raise self.problem
        return message


def _problem_of(error: httptools.HttpParserError) -> Problem:
    """Return the problem of a request that the parser has rejected."""
    # The parser wraps each exception of a callback, such as `on_headers_complete()`.
    cause = error.__context__
    if isinstance(cause, Problem):
        return cause
    if isinstance(error, httptools.HttpParserCallbackError):
        raise error
    return malformed(f"The request is not valid HTTP: {error}.")


def _too_slow(part: str) -> Problem:
    return Problem("request-timeout", f"The {part} of the request arrives too slowly.")
