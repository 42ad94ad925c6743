"""Real HTTP server on loopback whose answers a test writes byte for byte."""

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

KEY = "trk_3kTMd9aZ_canarysecretcanarysecret_abc123"
"""A well-formed API key; its secret must not appear in any output."""

NOWHERE = "http://127.0.0.1:9"
"""Address without a server: connections are refused."""

OWNER = {
    "provider_id": 1,
    "provider_name": "Provider",
    "key_id": "3kTMd9aZ",
    "scopes": ["ingest"],
    "expires_at": None,
}
CUSTOMER = {
    "id": 7,
    "reference": None,
    "name": None,
    "created_at": "2026-11-24T01:00:00Z",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Request], bytes | Iterable[bytes]]


@dataclass
class ScriptedServer:
    """Server that answers each request with the bytes that `answer` returns.

    Attributes:
        answer: Returns a whole HTTP answer, or its pieces one after the other; empty
            bytes close the connection.
        requests: Requests in order of arrival.
        port: Listening port; 0 before the block (`with` statement) begins.
    """

    answer: Answer
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    port: int = 0

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Wakes the accepting thread; closing alone would leave it waiting.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    @property
    def connection_count(self) -> int:
        """Number of connections accepted so far."""
        return len(self._connections)

    @property
    def url(self) -> str:
        """Address of the server."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self.tls:
                connection = self.tls.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
            self._connections.append(connection)
            self._threads.append(
                threading.Thread(target=self._serve, args=(connection,))
            )
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError), connection:
            with connection.makefile("rb") as stream:
                for request in _requests(stream):
                    self.requests.append(request)
                    answer = self.answer(request)
                    if not answer:
                        return
                    for piece in [answer] if isinstance(answer, bytes) else answer:
                        connection.sendall(piece)


def _requests(stream: Any) -> Iterator[Request]:
    while first := stream.readline():
        method, target, _ = first.decode("latin-1").split(" ", 2)
        headers: dict[str, str] = {}
        while (line := stream.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", "0")))
        if headers.get("transfer-encoding") == "chunked":
            body = _chunks(stream)
        yield Request(method, target, headers, body)


def _chunks(stream: Any) -> bytes:
    body = b""
    while size := int(stream.readline(), 16):
        body += stream.read(size)
        stream.readline()
    stream.readline()
    return body


def http(
    status: int | str = 200,
    body: bytes | object = b"",
    media_type: str = "application/json",
    **headers: str,
) -> bytes:
    """Return an HTTP answer; a body of another type than bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Words" if isinstance(status, int) else status]
    if media_type:
        lines.append(f"Content-Type: {media_type}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def problem(status: int, **members: object) -> bytes:
    """Return an HTTP answer with problem details."""
    details = {
        "type": "urn:trackerapi:problem:test",
        "title": "Test",
        "status": status,
        "detail": "A test asked for this.",
        "request_id": "0123456789abcdef",
    }
    return http(status, {**details, **members}, "application/problem+json")


@contextmanager
def answering(answer: bytes | Answer) -> Iterator[ScriptedServer]:
    """Run a server that answers each request with `answer` or its result."""
    script = (lambda _: answer) if isinstance(answer, bytes) else answer
    with ScriptedServer(script) as server:
        yield server


Fault = Callable[[Request], "bytes | Iterable[bytes] | None"]
"""Function that answers in place of the backend; None passes the request on."""


def always(answer: bytes) -> Fault:
    """Return a fault with one answer for all requests; b"" closes the connection."""
    return lambda _: answer


def silent(ended: threading.Event) -> Fault:
    """Return a fault that answers no request until `ended` is set."""

    def fault(_: Request) -> bytes:
        ended.wait()
        return b""

    return fault
