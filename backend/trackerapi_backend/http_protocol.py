"""HTTP protocol of the server: a connection that answers each request in order.

httptools parses and uvicorn's protocol runs the application. This subclass bounds the
head of a request and the number of waiting requests, rejects more invalid requests than
the parser, and answers each of them with a problem document.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import (
    HttpToolsProtocol,
    RequestResponseCycle,
)

from trackerapi_backend.app import rejection
from trackerapi_backend.problems import Problem, unavailable

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveEvent
    from uvicorn.config import Config
    from uvicorn.server import ServerState

MAX_HEAD_BYTES = 64 * 1024
"""Maximum size of request line and headers, in bytes."""
MAX_WAITING_REQUESTS = 100
"""Maximum number of requests that wait on one connection for their turn.

Each of them needs about 3 KB, and a client can send thousands of requests at once."""

_BYTES_BESIDE_HEADER = len(": \r\n")


class HttpProtocol(HttpToolsProtocol):
    """One connection to the server.

    The server closes the connection after a rejected request: it cannot know where the
    next request begins.
    """

    cycle: _Exchange

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # Bytes since the last progress: a complete head, a part of a body, or the end
        # of a request. This bounds headers, trailers and extensions of chunks.
        self._bytes_without_progress = 0
        self._has_open_body = False
        self._is_rejected = False
        self._running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin the connection."""
        super().connection_made(transport)
        self.transport = _JoinedWrites(transport, self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the connection and the running request.

        uvicorn ends only the newest request, which may still wait for its turn.
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
        self._unset_keepalive_if_required()
        self._bytes_without_progress += len(data)
        try:
            self._feed(data)
            if self._bytes_without_progress > MAX_HEAD_BYTES:
                raise _head_too_large()
        except httptools.HttpParserError as error:
            self._reject(_problem_of(error))
        except Problem as problem:
            self._reject(problem)

    def _feed(self, data: bytes | memoryview) -> None:
        """Parse bytes; read a request for another protocol as a request of HTTP.

        The Java HTTP client asks for HTTP/2 in this way. The parser stops after the
        head of such a request and takes its body for the other protocol.
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

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header to the request; ignore headers after the body."""
        if not self._has_open_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the request once its head is complete and valid."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self.scope["method"] = method.decode("ascii")
        self.scope["http_version"] = version
        if self.parser.should_upgrade() and method != b"CONNECT":
            return  # `_feed()` parses the request again.
        _check_head(version, self.url, self.headers)
        path, query = _split_target(self.url)
        self.scope["raw_path"] = path
        text = path.decode("ascii")
        self.scope["path"] = unquote(text) if "%" in text else text
        self.scope["query_string"] = query
        if len(self.pipeline) >= MAX_WAITING_REQUESTS:
            raise unavailable("Too many requests wait on this connection.")
        self._bytes_without_progress = 0
        self._has_open_body = True
        is_kept = version == "1.1" and self.parser.should_keep_alive()
        self._begin(self.app, self.transport, is_kept=is_kept)

    def _begin(
        self, app: ASGI3Application, transport: asyncio.Transport, *, is_kept: bool
    ) -> None:
        """Run an application for the request, after those of earlier requests."""
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
            keep_alive=is_kept,
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
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request."""
        if self._has_open_body:
            self._has_open_body = False
            self._bytes_without_progress = 0
            super().on_message_complete()

    def _reject(self, problem: Problem) -> None:
        """Answer an invalid request after all earlier requests, then close."""
        self._is_rejected = True
        transport = _LastResponse(self.transport)
        if self._has_open_body:
            # The application reads this body, or will do so.
            self.cycle.fail(problem, transport)
            return
        method = self.scope.get("method", "") if self.scope else ""
        self.on_message_begin()
        self.scope |= {
            "method": method,
            "path": "",
            "raw_path": b"",
            "query_string": b"",
        }
        app = cast("ASGI3Application", rejection(problem))
        self._begin(app, transport, is_kept=False)


class _Exchange(RequestResponseCycle):
    """One request and its response."""

    problem: Problem | None = None

    def fail(self, problem: Problem, transport: asyncio.Transport) -> None:
        """End the body with a problem, which `receive()` raises."""
        if self.response_started:
            self.transport.close()
            return
        self.problem, self.transport, self.keep_alive = problem, transport, False
        self.message_event.set()

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next part of the body.

        Raises:
            Problem: If the body is not valid HTTP.
        """
        message = await super().receive()
        if self.problem is not None:
            raise self.problem
        return message


class _JoinedWrites(asyncio.Transport):
    """Transport that sends the data of one iteration of the event loop at once.

    The head of a response and its body would need two system calls.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__()
        self._transport, self._loop = transport, loop
        self._waiting: list[bytes | bytearray | memoryview] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send data at the end of this iteration."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        # uvloop raises for a connection that the client has reset since `write()`.
        if waiting and not self._transport.is_closing():
            self._transport.write(b"".join(waiting))

    def write_eof(self) -> None:
        """Send the end of the stream after all data."""
        self._flush()
        self._transport.write_eof()

    def is_closing(self) -> bool:
        """Return whether the connection is closed, or will be after all data."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Close the connection after all data."""
        self._flush()
        self._transport.close()


class _LastResponse(asyncio.Transport):
    """Transport of the last response on a connection.

    `close()` ends only the direction to the client, and the keep-alive timeout closes
    the connection. If the server closed a connection with unread bytes, the system
    would reset the connection, and the client could lose the response.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send data."""
        self._transport.write(data)

    def is_closing(self) -> bool:
        """Return whether the connection is closed."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Send the end of the stream after all data."""
        if not self._transport.is_closing():
            self._transport.write_eof()


def _check_head(
    version: str, target: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    """Check size, HTTP version, `Host` and `Transfer-Encoding` of a head.

    Raises:
        Problem: If the head is too large or not a head of HTTP/1.0 or HTTP/1.1.
    """
    size_bytes, hosts = len(target), 0
    for name, value in headers:
        size_bytes += len(name) + len(value) + _BYTES_BESIDE_HEADER
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding" and value.lower() != b"chunked":
            raise _malformed("The only transfer encoding is chunked.")
    if size_bytes > MAX_HEAD_BYTES:
        raise _head_too_large()
    if version not in ("1.0", "1.1"):
        raise _malformed("The server speaks HTTP/1.1 and HTTP/1.0.")
    if hosts != 1 and (hosts > 1 or version == "1.1"):
        raise _malformed(f"The request has {hosts} headers `Host` instead of 1.")


def _split_target(target: bytes) -> tuple[bytes, bytes]:
    """Return path and query of a request target.

    Raises:
        Problem: If the target is not a path or a URL of ASCII characters.
    """
    if not target.isascii():
        raise _malformed("The path of the request has bytes outside of ASCII.")
    if target.startswith(b"/"):
        path, _, query = target.partition(b"?")
        return path, query
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        raise _malformed("The target of the request is no path.") from None
    return url.path or b"/", url.query or b""


def _problem_of(error: httptools.HttpParserError) -> Problem:
    """Return the problem of a request that the parser has rejected."""
    cause = error.__context__
    if isinstance(cause, Problem):
        return cause
    if isinstance(error, httptools.HttpParserCallbackError):
        raise error
    return _malformed(f"The request is not valid HTTP: {error}.")


def _malformed(detail: str) -> Problem:
    return Problem("malformed-request", detail)


def _head_too_large() -> Problem:
    detail = f"Request line and headers have more than {MAX_HEAD_BYTES} bytes."
    return Problem("head-too-large", detail)
