"""A real proxy on loopback in front of a real backend, which fails as a test says.

It keeps its port while it is down, so that nobody else can take it. Whatever happens
to a request is decided by a fault (`tests.support.faults`) at the time it arrives; what
is under way keeps the fault that it met.
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
"""Longest wait for a request that has to come."""

_RESET: Final = struct.pack("ii", 1, 0)
_OF_ONE_HOP: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length"}
)


class Passage:
    """One request on its way through the proxy, in the hands of a fault.

    Attributes:
        method: HTTP method in capitals.
        target: Path and query.
        headers: By names in lower case.
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
        """The request as far as it was read."""
        return Request(self.method, self.target, self.headers, bytes(self._body))

    @property
    def unread_bytes(self) -> int:
        """What is left of the body."""
        return int(self.headers.get("content-length", "0")) - len(self._body)

    def read_body(self, size: int | None = None) -> None:
        """Read `size` bytes of the body, or all that is left."""
        wanted = self.unread_bytes if size is None else size
        self._body += self._stream.read(wanted)

    def ask_backend(self) -> bytes:
        """Let the backend process the whole request; return its whole answer."""
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

    def answer(self, data: bytes) -> None:
        """Send an answer, or a part of one."""
        if not self._proxy.has(self._connection):
            raise ConnectionAbortedError
        self._connection.sendall(data)

    def reset(self) -> None:
        """Abort the connection: the client reads "connection reset"."""
        reset_when_closed(self._connection)
        self.is_open = False

    def wait_for_the_end(self, seconds: float | None = None) -> bool:
        """Do nothing until the connection ends; return whether it has."""
        # A client says nothing more before it has its answer.
        return bool(select.select([self._connection], [], [], seconds)[0])


Fault = Callable[[Passage], None]
"""Decides what becomes of one request."""

Welcome = Callable[[socket.socket], socket.socket]
"""Begins a new connection and returns the one to read requests from."""


def pass_on(passage: Passage) -> None:
    """No fault: the backend's answer goes back as it is."""
    passage.answer(passage.ask_backend())


def in_plain(connection: socket.socket) -> socket.socket:
    """Take a connection as it is, without TLS."""
    return connection


@dataclass
class FaultProxy:
    """Passes requests on to a backend, unless it is told to fail.

    Attributes:
        backend_url: Where the backend is; may change while the proxy runs.
        fault: What happens to requests that arrive from now on.
        welcome: How connections begin that are made from now on.
        connection_count: Connections accepted so far.
        port: Where it listens; the same for all its life.
    """

    backend_url: str
    fault: Fault = pass_on
    welcome: Welcome = in_plain
    connection_count: int = 0
    port: int = 0

    def __enter__(self) -> Self:
        # Bound but never listening: connections are refused, the port is ours.
        self._reservation = _shared_socket(0)
        self.port = self._reservation.getsockname()[1]
        self._changed = threading.Condition()
        self._live: set[socket.socket] = set()
        self._passages: list[Passage] = []
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
        """The address to reach it under."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[Request]:
        """What has arrived, in order, each as far as it was read."""
        return [passage.request for passage in self._passages]

    def come_up(self) -> None:
        """Take connections; nothing happens where it does already."""
        if self._listener is None:
            self._listener = _shared_socket(self.port)
            self._listener.listen(128)
            self._start(self._accept, self._listener)

    def go_down(self) -> None:
        """Refuse connections and abort those that live."""
        with self._changed:
            listener, self._listener = self._listener, None
        if listener is not None:
            # Wakes the accepting thread; closing alone would leave it waiting.
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Abort all connections; new ones are taken as before."""
        with self._changed:
            for connection in self._live:
                reset_when_closed(connection)
            # What has arrived on them already must not be read any more.
            self._live.clear()

    def has(self, connection: socket.socket) -> bool:
        """Tell whether nobody has hung up on a connection."""
        with self._changed:
            return connection in self._live

    @contextmanager
    def failing(self, fault: Fault) -> Iterator[None]:
        """Meet requests with `fault` as long as the block lasts."""
        before, self.fault = self.fault, fault
        try:
            yield
        finally:
            self.fault = before

    @contextmanager
    def down(self) -> Iterator[None]:
        """Refuse connections as long as the block lasts."""
        self.go_down()
        try:
            yield
        finally:
            self.come_up()

    @contextmanager
    def welcoming(self, welcome: Welcome) -> Iterator[None]:
        """Begin connections by `welcome` as long as the block lasts."""
        before, self.welcome = self.welcome, welcome
        self.hang_up()
        try:
            yield
        finally:
            self.welcome = before
            self.hang_up()

    def await_requests(self, count: int, since: int = 0) -> None:
        """Wait until `count` requests have arrived after the first `since`."""
        self._await(lambda: len(self._passages) >= since + count, f"{count} requests")

    def await_connections(self, count: int, since: int = 0) -> None:
        """Wait until `count` connections were made after the first `since`."""
        self._await(
            lambda: self.connection_count >= since + count, f"{count} connections"
        )

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        with self._changed:
            came = self._changed.wait_for(condition, PATIENCE_SECONDS)
        assert came, f"{what} did not come in {PATIENCE_SECONDS:g} s"

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
            # An answer in two parts must not wait for an acknowledgement.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changed:
                # One that was accepted in the last moment must not outlive the end.
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
        welcomed = connection
        try:
            with suppress(OSError, EOFError, ValueError, HTTPException):
                welcomed = self._welcome(connection)
                with welcomed, welcomed.makefile("rb") as stream:
                    while self._pass(Passage(self, welcomed, stream), welcomed):
                        pass
        finally:
            with self._changed:
                self._live.discard(welcomed)
            welcomed.close()

    def _welcome(self, connection: socket.socket) -> socket.socket:
        """Begin a connection; TLS makes another socket of it."""
        welcomed = self.welcome(connection)
        with self._changed:
            if connection in self._live:
                self._live.discard(connection)
                self._live.add(welcomed)
        return welcomed

    def _pass(self, passage: Passage, connection: socket.socket) -> bool:
        """Bring one request to its end; return whether another may follow."""
        fault = self.fault
        with self._changed:
            if connection not in self._live:
                return False
            self._passages.append(passage)
            self._changed.notify_all()
        fault(passage)
        return passage.is_open and passage.unread_bytes == 0


def sent_events(requests: Iterable[Request]) -> list[dict[str, object]]:
    """Return the events of all batches among `requests`, each time they were sent."""
    return [
        json.loads(line)
        for request in requests
        if request.target == "/events/batch"
        for line in unpacked(request.headers, request.body).splitlines()
    ]


def unpacked(headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a body without its content encoding."""
    return gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body


def reset_when_closed(connection: socket.socket) -> None:
    """Make a connection end by a reset, and wake who reads from it."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        # Not the method of a TLS socket, which is not for two threads.
        socket.socket.shutdown(connection, socket.SHUT_RD)


def _shared_socket(port: int) -> socket.socket:
    shared = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    shared.bind(("127.0.0.1", port))
    return shared
