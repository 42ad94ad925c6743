"""HTTP exchanges of the kit: one request at a time, bounded in time and number.

The kit uses only the standard library, so that no HTTP client of another project
corrects a request or a response on the way.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from trackerapi_backend.conformance.expectations import KitError, Mismatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TIMEOUT_SECONDS = 30.0
"""Time limit of each operation of a socket: connect, send, receive."""
MAX_SECONDS = 600.0
MAX_REQUESTS = 10_000
MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_RETRIES = 5
MAX_RETRY_SECONDS = 10.0

_EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Answer:
    """Response of the backend.

    Attributes:
        request: Method and path of the request, for reports.
        headers: Headers by their names in lower case.
        body: Body of the response; for a stream, the data of the first message.
    """

    request: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def media_type(self) -> str:
        """Media type without its parameters, in lower case; empty if missing."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def outline(self) -> str:
        """Status and beginning of the body, for reports.

        The body of a success is left out: the body may contain the secret of a new key.
        """
        if self.status < 400 or not self.body:
            return str(self.status)
        return f"{self.status} with {self.body[:200].decode('utf-8', 'replace')}"

    def json(self) -> Any:
        """Return the parsed body.

        Raises:
            Mismatch: If the body is not JSON.
        """
        try:
            return json.loads(self.body)
        except ValueError:
            raise Mismatch(f"body of {self.request}", "JSON", self.outline) from None

    def require(self, *statuses: int) -> Any:
        """Check the status; return the parsed body.

        Raises:
            Mismatch: If the response has another status, or its body is not JSON.
        """
        if self.status not in statuses:
            expected = " or ".join(map(str, statuses))
            raise Mismatch(f"status of {self.request}", expected, self.outline)
        return self.json()


@dataclass(frozen=True, slots=True)
class Message:
    """Message of a stream: its `id`, its `event`, and its joined `data`."""

    id_: str
    event: str
    data: bytes


class Exchange:
    """Connection to a backend.

    Args:
        base_url: Address of the backend; its path precedes the path of each request.

    Raises:
        KitError: From each call, if the backend cannot be reached or the run has
            exceeded `MAX_REQUESTS` or `MAX_SECONDS`.
        Mismatch: From each call, if a connected backend sends no response.
    """

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._parts = urlsplit(base_url)
        self._connection = _new_connection(self._parts)
        self._until = time.monotonic() + MAX_SECONDS
        self.request_count = 0

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        """Send a request; return the response.

        After a 429 or 503 with `Retry-After`, the request is repeated: in total at most
        `MAX_RETRIES` requests, after waits of at most `MAX_RETRY_SECONDS`.
        """
        for _ in range(MAX_RETRIES):
            answer = self._send_once(method, path, headers, body)
            if answer.status not in (429, 503) or "retry-after" not in answer.headers:
                break
            time.sleep(_wait_seconds(answer.headers["retry-after"]))
        return answer

    def _send_once(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        self._count_request()
        while True:
            is_reused = self._connection.sock is not None
            self._connect(self._connection)
            try:
                return self._receive(method, path, headers, body)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                # A backend may close an idle connection: the loop sends the request
                # again on a new connection.
                if not is_reused:
                    raise _no_response(method, path, error) from None

    def _receive(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        self._connection.request(method, self._target(path), body, dict(headers))
        response = self._connection.getresponse()
        answered = {name.lower(): value for name, value in response.getheaders()}
        if answered.get("content-type", "").startswith(_EVENT_STREAM):
            first = next(_messages(response), Message("", "", b""))
            self._connection.close()
            return Answer(f"{method} {path}", response.status, answered, first.data)
        content = response.read(MAX_ANSWER_BYTES)
        if response.will_close or len(content) == MAX_ANSWER_BYTES:
            self._connection.close()
        return Answer(f"{method} {path}", response.status, answered, content)

    @contextmanager
    def stream(
        self, path: str, headers: Mapping[str, str]
    ) -> Iterator[Iterator[Message]]:
        """Open a stream on a separate connection; yield an iterator over its messages.

        Raises:
            Mismatch: If the status of the response is not 200.
        """
        self._count_request()
        with closing(_new_connection(self._parts)) as connection:
            self._connect(connection)
            try:
                connection.request("GET", self._target(path), headers=dict(headers))
                response = connection.getresponse()
                if response.status != 200:
                    raise Mismatch(f"status of GET {path}", 200, response.status)
                yield _messages(response)
            except (OSError, http.client.HTTPException) as error:
                raise _no_response("GET", path, error) from None

    def _target(self, path: str) -> str:
        return self._parts.path.rstrip("/") + path

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        if connection.sock is not None:
            return
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            raise KitError(
                f"cannot reach the backend at {self._base_url} ({_reason(error)}):"
                " check --base-url, and that the backend runs"
            ) from None

    def _count_request(self) -> None:
        self.request_count += 1
        if self.request_count > MAX_REQUESTS or time.monotonic() > self._until:
            raise KitError(
                f"the kit gave up after {self.request_count - 1} requests: a run has"
                f" at most {MAX_REQUESTS} requests and {MAX_SECONDS:.0f} seconds"
            )


def _new_connection(parts: SplitResult) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(
            host,
            parts.port,
            timeout=TIMEOUT_SECONDS,
            context=ssl.create_default_context(),
        )
    return http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_SECONDS)


def _no_response(method: str, path: str, error: Exception) -> Mismatch:
    return Mismatch(f"response to {method} {path}", "a response", _reason(error))


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _wait_seconds(retry_after: str) -> float:
    is_number = retry_after.isascii() and retry_after.isdecimal()
    return min(float(retry_after), MAX_RETRY_SECONDS) if is_number else 1.0


def _messages(response: http.client.HTTPResponse) -> Iterator[Message]:
    """Yield the messages of a stream of Server-Sent Events; skip its comments."""
    fields: dict[str, list[bytes]] = {}
    # `readline()` returns no bytes at the end of the stream.
    for line in iter(response.readline, b""):
        name, _, value = line.rstrip(b"\r\n").partition(b":")
        if name:
            fields.setdefault(name.decode(), []).append(value.removeprefix(b" "))
        elif "data" in fields:
            last = {key: values[-1].decode() for key, values in fields.items()}
            data = b"\n".join(fields["data"])
            yield Message(last.get("id", ""), last.get("event", ""), data)
            fields = {}
        elif not line.strip():
            fields = {}
