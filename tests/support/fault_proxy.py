"""Real HTTP proxy on loopback in front of a real backend; faults make requests fail.

The proxy keeps its port while it is down, so that no other process can bind the port.
A fault (`tests.support.faults`) decides the result of each request. A request uses the
fault that was set when the request arrived.
"""

import gzip
import json
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from types import TracebackType
from typing import BinaryIO, Final, Self
from urllib.parse import urlsplit

from tests.support.scripted_server import Request

PATIENCE_SECONDS: Final = 30.0
"""Maximum wait for an expected request."""

_RESET: Final = struct.pack("ii", 1, 0)
_OF_ONE_HOP: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length"}
)


class Exchange:
    """One request and its answer; a fault decides how much of both is transferred.

    Attributes:
        method: HTTP method in capitals.
        target: Path and query.
        headers: Header values by names in lower case.
    """

    def __init__(
        self, proxy: "FaultProxy", connection: socket.socket, stream: BinaryIO
    ) -> None:
        self._proxy, self._connection, self._stream = proxy, connection, stream
        self._body = bytearray()
        line = stream.readline().decode("latin-1")
        if not line:
            raise EOFError
        self.method, self.target, _ = line.split(" ", 2)
        self.headers: dict[str, str] = {}
        while header := stream.readline().strip():
            name, _, value = header.decode("latin-1").partition(":")
            self.headers[name.lower()] = value.strip()
        self.is_open = True

    @property
    def request(self) -> Request:
        """The request with the part of the body that was read."""
        return Request(self.method, self.target, self.headers, bytes(self._body))

    @property
    def unread_bytes(self) -> int:
        """Number of bytes of the body that were not read yet."""
        return int(self.headers.get("content-length", "0")) - len(self._body)

    def read_body(self, size: int | None = None) -> None:
        """Read `size` bytes of the body; the whole rest if None."""
        wanted = self.unread_bytes if size is None else size
        self._body += self._stream.read(wanted)

    def ask_backend(self) -> bytes:
        """Send the whole request to the backend; return the whole answer."""
        self.read_body()
        address = urlsplit(self._proxy.backend_url).netloc
        onward = HTTPConnection(address, timeout=PATIENCE_SECONDS)
        try:
            headers = {
                name: value
                for name, value in self.headers.items()
                if name not in _OF_ONE_HOP
            }
            onward.request(self.method, self.target, bytes(self._body), headers)
            answer = onward.getresponse()
            body = answer.read()
        finally:
            onward.close()
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
        lines += [
            f"{name}: {value}"
            for name, value in answer.getheaders()
            if name.lower() not in _OF_ONE_HOP
        ]
        lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body

    def relay(self) -> None:
        """Pass the answer of the backend on as it arrives, until either side closes."""
        self.read_body()
        address = urlsplit(self._proxy.backend_url)
        lines = [f"{self.method} {self.target} HTTP/1.1", "Connection: close"]
        lines += [
            f"{name}: {value}"
            for name, value in self.headers.items()
            if name not in _OF_ONE_HOP
        ]
        self.is_open = False
        place = (address.hostname or "", address.port or 0)
        with socket.create_connection(place) as onward:
            onward.sendall("\r\n".join([*lines, "\r\n"]).encode("latin-1"))
            while True:
                ready = select.select([onward, self._connection], [], [])[0]
                data = onward.recv(1 << 16) if self._connection not in ready else b""
                if not data:
                    return
                self.answer(data)

    def answer(self, data: bytes) -> None:
        """Send an answer, or a part of an answer, to the client."""
        if not self._proxy.is_live(self._connection):
            raise ConnectionAbortedError
        self._connection.sendall(data)

    def reset(self) -> None:
        """Abort the connection: the client reads "connection reset"."""
        reset_when_closed(self._connection)
        self.is_open = False

    def wait_for_close(self, seconds: float | None = None) -> bool:
        """Wait until the client closes the connection; return False after a timeout."""
        # Readable means closed: a client sends nothing while it waits for its answer.
        return bool(select.select([self._connection], [], [], seconds)[0])


Fault = Callable[[Exchange], None]
"""Function that decides the result of one request."""

Handshake = Callable[[socket.socket], socket.socket]
"""Function that begins a new connection and returns the socket for requests."""


def pass_on(exchange: Exchange) -> None:
    """Send the answer of the backend to the client unchanged: no fault."""
    exchange.answer(exchange.ask_backend())


def plain_handshake(connection: socket.socket) -> socket.socket:
    """Use a connection without TLS."""
    return connection


@dataclass
class FaultProxy:
    """Proxy that passes requests on to a backend unless a fault is set.

    Attributes:
        backend_url: Address of the backend; may change while the proxy runs.
        fault: Fault for requests that arrive from now on.
        handshake: Handshake of connections that are accepted from now on.
        connection_count: Number of connections accepted so far.
        port: Listening port; constant from start to end.
    """

    backend_url: str
    fault: Fault = pass_on
    handshake: Handshake = plain_handshake
    connection_count: int = 0
    port: int = 0

    def __enter__(self) -> Self:
        # Bound without listening: connections are refused, and the port stays reserved.
        self._reservation = _shared_socket(0)
        self.port = self._reservation.getsockname()[1]
        self._changed = threading.Condition()
        self._live: set[socket.socket] = set()
        self._exchanges: list[Exchange] = []
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self.come_up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.go_down()
        self._reservation.close()
        for thread in self._threads:
            thread.join()

    @property
    def url(self) -> str:
        """Address of the proxy."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[Request]:
        """Requests in order of arrival, with the bodies as far as they were read."""
        return [exchange.request for exchange in self._exchanges]

    def come_up(self) -> None:
        """Accept connections; no effect if the proxy is up."""
        if self._listener is None:
            self._listener = _shared_socket(self.port)
            self._listener.listen(128)
            self._start(self._accept, self._listener)

    def go_down(self) -> None:
        """Refuse new connections and abort open ones."""
        with self._changed:
            listener, self._listener = self._listener, None
        if listener is not None:
            # Wakes the accepting thread; closing alone would leave it waiting.
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.abort_connections()

    def abort_connections(self) -> None:
        """Abort all open connections; the proxy still accepts new ones."""
        with self._changed:
            for connection in self._live:
                reset_when_closed(connection)
            # The serving threads must not read bytes that have already arrived.
            self._live.clear()

    def is_live(self, connection: socket.socket) -> bool:
        """Return whether a connection is open; False after `abort_connections()`."""
        with self._changed:
            return connection in self._live

    @contextmanager
    def failing(self, fault: Fault) -> Iterator[None]:
        """Set `fault` for the length of a block (`with` statement)."""
        before, self.fault = self.fault, fault
        try:
            yield
        finally:
            self.fault = before

    @contextmanager
    def down(self) -> Iterator[None]:
        """Keep the proxy down for the length of a block."""
        self.go_down()
        try:
            yield
        finally:
            self.come_up()

    @contextmanager
    def with_handshake(self, handshake: Handshake) -> Iterator[None]:
        """Set `handshake` for the length of a block; abort open connections."""
        before, self.handshake = self.handshake, handshake
        self.abort_connections()
        try:
            yield
        finally:
            self.handshake = before
            self.abort_connections()

    def await_requests(self, count: int, since: int = 0) -> None:
        """Wait until `since + count` requests have arrived in all."""
        self._await(lambda: len(self._exchanges) >= since + count, f"{count} requests")

    def await_connections(self, count: int, since: int = 0) -> None:
        """Wait until `since + count` connections were accepted in all."""
        self._await(
            lambda: self.connection_count >= since + count, f"{count} connections"
        )

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        with self._changed:
            came = self._changed.wait_for(condition, PATIENCE_SECONDS)
        assert came, f"{what} did not arrive within {PATIENCE_SECONDS:g} s"

    def _start(
        self, target: Callable[[socket.socket], None], of: socket.socket
    ) -> None:
        thread = threading.Thread(target=target, args=(of,))
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            # Nagle's algorithm would delay the second part of an answer.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changed:
                # A connection accepted while the proxy goes down must not survive.
                is_up = self._listener is listener
                if is_up:
                    self._live.add(connection)
                    self.connection_count += 1
                    self._changed.notify_all()
            if not is_up:
                reset_when_closed(connection)
                connection.close()
                continue
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        accepted = connection
        try:
            with suppress(OSError, EOFError, ValueError, HTTPException):
                accepted = self._shake_hands(connection)
                with accepted, accepted.makefile("rb") as stream:
                    while self._pass(Exchange(self, accepted, stream), accepted):
                        pass
        finally:
            with self._changed:
                self._live.discard(accepted)
            accepted.close()

    def _shake_hands(self, connection: socket.socket) -> socket.socket:
        """Do the handshake; return the socket for requests, a new socket with TLS."""
        accepted = self.handshake(connection)
        with self._changed:
            if connection in self._live:
                self._live.discard(connection)
                self._live.add(accepted)
        return accepted

    def _pass(self, exchange: Exchange, connection: socket.socket) -> bool:
        """Process one request; return whether the connection can carry another one."""
        fault = self.fault
        with self._changed:
            if connection not in self._live:
                return False
            self._exchanges.append(exchange)
            self._changed.notify_all()
        fault(exchange)
        return exchange.is_open and exchange.unread_bytes == 0


def sent_events(requests: Iterable[Request]) -> list[dict[str, object]]:
    """Return the events of all batches in `requests`, including repeated events."""
    return [
        json.loads(line)
        for request in requests
        if request.target == "/events/batch"
        for line in unpacked(request.headers, request.body).splitlines()
    ]


def unpacked(headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a body, decompressed if its encoding is gzip."""
    return gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body


def reset_when_closed(connection: socket.socket) -> None:
    """Make `close()` send a reset, and wake up a thread that reads."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        # Bypass SSLSocket.shutdown(): an SSL socket is not safe for two threads.
        socket.socket.shutdown(connection, socket.SHUT_RD)


def _shared_socket(port: int) -> socket.socket:
    shared = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    shared.bind(("127.0.0.1", port))
    return shared
