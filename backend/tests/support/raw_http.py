"""Connections to a backend, and responses read from them byte by byte."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from backend.tests.support.service import MAX_WAIT_SECONDS

if TYPE_CHECKING:
    from backend.tests.support.service import Service


def connect(service: Service) -> socket.socket:
    """Return a new connection to a backend."""
    address = urlsplit(service.base_url)
    return socket.create_connection((address.hostname, address.port), MAX_WAIT_SECONDS)


@dataclass(frozen=True, slots=True)
class Answer:
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """Complete problem document of the response."""
        assert self.headers["content-type"] == "application/problem+json"
        document = dict(json.loads(self.body))
        assert document["status"] == self.status
        assert document["request_id"] == self.headers["x-request-id"]
        return document

    @property
    def problem_name(self) -> str:
        """Name of the problem of the response."""
        return str(self.problem["type"]).rpartition(":")[2]


def read_answer(file: IO[bytes], *, has_body: bool = True) -> Answer | None:
    """Read one response; return None at the end of the stream."""
    line = file.readline()
    if not line:
        return None
    headers = {}
    while (header := file.readline().decode().rstrip()) != "":
        name, _, value = header.partition(": ")
        headers[name] = value
    size = int(headers.get("content-length", 0)) if has_body else 0
    return Answer(int(line.split()[1]), headers, file.read(size))
