"""HTTP gateway in front of a real backend, with faults for requests."""

import http.client
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import Fault, Request, ScriptedServer
from tests.support.scripted_server import http as http_answer
from trackerapi import (
    TrackerApi,
)


@dataclass
class Gateway:
    """HTTP server that passes requests on to a backend, or answers by a fault.

    Attributes:
        backend: Destination of the requests.
        fault: Function that answers in place of the backend; None for no fault.
        lends_key: Whether the gateway adds the backend's API key to each request.
    """

    backend: RunningBackend
    fault: Fault | None = None
    lends_key: bool = False
    server: ScriptedServer = field(init=False)

    def __post_init__(self) -> None:
        self.server = ScriptedServer(self._answer)

    @property
    def url(self) -> str:
        """Address of the gateway."""
        return self.server.url

    def count(self, method: str, end_of_target: str) -> int:
        """Return the number of requests so far with this method and end of target."""
        return sum(
            request.method == method and request.target.endswith(end_of_target)
            for request in self.server.requests
        )

    def _answer(self, request: Request) -> bytes | Iterable[bytes]:
        answer = self.fault(request) if self.fault else None
        return self._passed_on(request) if answer is None else answer

    def _passed_on(self, request: Request) -> bytes:
        to = urlsplit(self.backend.base_url)
        own = {"host", "connection", "content-length", "transfer-encoding"}
        own.add("accept-encoding")
        headers = {n: v for n, v in request.headers.items() if n not in own}
        if self.lends_key:
            headers["x-api-key"] = self.backend.api_key
        connection = http.client.HTTPConnection(to.hostname or "", to.port, timeout=30)
        with closing(connection):
            connection.request(request.method, request.target, request.body, headers)
            answer = connection.getresponse()
            media_type = answer.headers.get("Content-Type", "")
            return http_answer(answer.status, answer.read(), media_type)


@contextmanager
def gateway_to(backend: RunningBackend) -> Iterator[Gateway]:
    """Run a gateway in front of a backend."""
    gateway = Gateway(backend)
    with gateway.server:
        yield gateway


@pytest.fixture
def gateway(backend: RunningBackend) -> Iterator[Gateway]:
    """Run a gateway in front of the session's backend."""
    with gateway_to(backend) as opened:
        yield opened


@pytest.fixture
def silence() -> Iterator[threading.Event]:
    """Return the event that ends `silent()`; set at the end of the test."""
    ended = threading.Event()
    yield ended
    ended.set()


def reporting(gateway: Gateway, *, strict: bool, **options: Any) -> TrackerApi:
    """Return a tracker that reports through a gateway and exits without waiting."""
    key = options.pop("api_key", gateway.backend.api_key)
    return TrackerApi(
        key, gateway.url, **{"strict": strict, "shutdown_timeout": 0} | options
    )
