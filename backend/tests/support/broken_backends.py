"""Broken backends for the conformance kit: a proxy that breaks one rule.

The proxy runs in a thread in front of a real backend. A fault sees each request and can
change its body, its key or its response; all else passes unchanged.
"""

from __future__ import annotations

import http.client
import json
import select
import socket
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from backend.tests.support.service import MAX_WAIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from backend.tests.support.service import Service

    Forward = Callable[["Request"], "Response"]
    Fault = Callable[["Request", Forward], "Response"]


@dataclass(frozen=True, slots=True)
class Request:
    """Request of the kit.

    Attributes:
        key: API key; empty without one.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None

    @property
    def key(self) -> str:
        """API key of the request; empty without one."""
        return self.headers.get("X-API-Key", "")

    def with_key(self, key: str) -> Request:
        """Return the request with another key."""
        return replace(self, headers={**self.headers, "X-API-Key": key})


@dataclass(frozen=True, slots=True)
class Response:
    """Response of the backend."""

    status: int
    headers: dict[str, str]
    body: bytes


def percent_falls(request: Request, forward: Forward) -> Response:
    """Halve the percentage of failed jobs."""
    response = forward(request)
    if "/jobs" not in request.path or response.status != 200:
        return response
    document = json.loads(response.body)
    for job in document.get("items", [document]):
        if job.get("status") == "failed" and job["percent"]:
            job["percent"] /= 2
    return replace(response, body=json.dumps(document).encode())


@dataclass
class RepeatCountsTwice:
    """Give the repeated event ids of a job new values, so that each event counts."""

    seen: set[tuple[str, str]] = field(default_factory=set)

    def __call__(self, request: Request, forward: Forward) -> Response:
        """Forward a request with new ids for repeated ones."""
        if not request.path.startswith("/events") or not request.body:
            return forward(request)
        lines = request.body.split(b"\n")
        return forward(replace(request, body=b"\n".join(map(self._renamed, lines))))

    def _renamed(self, line: bytes) -> bytes:
        event = _event_of(line)
        identity = (str(event.get("provider_job_id")), str(event.get("event_id")))
        is_seen = identity in self.seen
        self.seen.add(identity)
        if not is_seen or "event_id" not in event:
            return line
        return json.dumps(event | {"event_id": str(uuid4())}).encode()


def _event_of(line: bytes) -> dict[str, Any]:
    """Return the event of a line; an empty one if the line is not an object."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def problems_are_plain_json(request: Request, forward: Forward) -> Response:
    """Send problem documents as `application/json`."""
    response = forward(request)
    if response.status < 400:
        return response
    headers = response.headers | {"content-type": "application/json"}
    return replace(response, headers=headers)


def message_has_no_limit(request: Request, forward: Forward) -> Response:
    """Cut a message that is too long instead of rejecting the event."""
    event = _event_of(request.body or b"") if request.path == "/events" else {}
    message = event.get("message")
    if isinstance(message, str) and len(message) > 2000:
        body = json.dumps(event | {"message": message[:2000]}).encode()
        return forward(replace(request, body=body))
    return forward(request)


def foreign_jobs_are_visible(keys: Mapping[str, str]) -> Fault:
    """Return a fault that shows the jobs of a provider to the other provider."""

    def fault(request: Request, forward: Forward) -> Response:
        response = forward(request)
        is_read = request.method == "GET" and request.path.startswith("/jobs/")
        if response.status == 404 and is_read and request.key == keys["other"]:
            return forward(request.with_key(keys["all"]))
        return response

    return fault


def tokens_open_all_jobs(keys: Mapping[str, str]) -> Fault:
    """Return a fault that shows all jobs of the provider to a job token."""

    def fault(request: Request, forward: Forward) -> Response:
        response = forward(request)
        is_read = request.method == "GET" and request.path.startswith("/jobs/")
        is_token = request.key not in ("", *keys.values())
        if response.status == 404 and is_read and is_token:
            return forward(request.with_key(keys["all"]))
        return response

    return fault


def combined(*faults: Fault) -> Fault:
    """Return a fault that has all the faults; each forwards to the next."""

    def fault(request: Request, forward: Forward) -> Response:
        for each in faults:
            forward = partial(each, forward=forward)
        return forward(request)

    return fault


@contextmanager
def broken_backend(service: Service, fault: Fault) -> Iterator[str]:
    """Serve a broken backend in front of a real one; yield its address."""
    backend = urlsplit(service.base_url)
    address = (str(backend.hostname), int(backend.port or 80))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and body leave in one packet: Nagle's algorithm would delay the body.
        wbufsize = -1

        def log_message(self, *_arguments: Any) -> None:
            """Write no log."""

        def do_GET(self) -> None:
            if self.path.endswith("/stream"):
                self._relay_stream()
                return
            length = self.headers.get("Content-Length")
            body = None if length is None else self.rfile.read(int(length))
            sent = Request(self.command, self.path, dict(self.headers), body)
            response = fault(sent, lambda request: _forward(address, request))
            self.send_response_only(response.status)
            headers = response.headers | {"content-length": str(len(response.body))}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(response.body)

        do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 -- names of the base class

        def _relay_stream(self) -> None:
            """Copy the bytes of a stream until one side closes its connection."""
            self.close_connection = True
            with closing(socket.create_connection(address)) as upstream:
                lines = [f"GET {self.path} HTTP/1.1", "Connection: close"]
                lines += [f"{name}: {value}" for name, value in self.headers.items()]
                upstream.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
                while True:
                    ready = select.select([self.connection, upstream], [], [])[0]
                    received = b"" if self.connection in ready else upstream.recv(65536)
                    if not received:
                        return
                    self.connection.sendall(received)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _forward(address: tuple[str, int], request: Request) -> Response:
    connection = http.client.HTTPConnection(*address, timeout=MAX_WAIT_SECONDS)
    with closing(connection):
        headers = {k: v for k, v in request.headers.items() if k != "Content-Length"}
        connection.request(request.method, request.path, request.body, headers)
        response = connection.getresponse()
        answered = {name.lower(): value for name, value in response.getheaders()}
        answered.pop("transfer-encoding", None)
        return Response(response.status, answered, response.read())
