"""Network connections whose reads and writes end with the attempt they belong to.

httpx bounds single reads and writes, and a server that drips bytes would hold an
attempt, its thread and its descriptor for ever.
"""

import asyncio
import ssl
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import httpcore
import httpx

from trackerapi.process.clock import steady_seconds
from trackerapi.wire.answer_check import InvalidAnswer
from trackerapi.wire.resolution import look_up
from trackerapi.wire.sockets import TrackedSocket, avoiding_standard_streams

MAX_HEAD_BYTES: Final = 256 * 1024
"""Largest size of all that precedes the body: interim answers (103) and the head."""

_PIECE_BYTES: Final = 16 * 1024
_SHARE_SECONDS: Final = 1.0
"""Shortest time to connect to one address of a host, before the next one is tried."""


@dataclass(slots=True)
class AttemptBudget:
    """Limits of one attempt: time and bytes.

    Attributes:
        ends: Monotonic time at which the attempt is over.
        bytes_left: Bytes that may still be read.
    """

    ends: float
    bytes_left: int = MAX_HEAD_BYTES

    def seconds(self, timeout: float | None, late: type[Exception]) -> float:
        """Return the time that a single read or write may take.

        Raises:
            Exception: Of type `late`, if the attempt is over.
        """
        left = self.ends - steady_seconds()
        if left <= 0:
            raise late("the attempt is over")
        return left if timeout is None else min(timeout, left)


_CURRENT: Final[ContextVar[AttemptBudget | None]] = ContextVar("attempt", default=None)


@contextmanager
def allowed(allowance: AttemptBudget) -> Generator[None]:
    """Hold all network use of the block to `allowance`."""
    token = _CURRENT.set(allowance)
    try:
        yield
    finally:
        _CURRENT.reset(token)


class Connection:
    """State of one connection, shared by the blocking and the asynchronous stream.

    Attributes:
        is_spoiled: Whether the connection must not be used for another request.
        last_answer_id: Request id of the previous answer; None without one.
    """

    is_spoiled = False
    last_answer_id: str | None = None
    _socket: TrackedSocket | None = None

    def note_answer(self, request_id: str | None) -> None:
        """Record the request id of an answer.

        Raises:
            NotAnAnswer: If it is the previous answer, sent again by a proxy.
        """
        if request_id and request_id == self.last_answer_id:
            raise InvalidAnswer("it repeats the answer to the request before")
        self.last_answer_id = request_id

    @property
    def _is_unusable(self) -> bool:
        return self.is_spoiled or not self._has_own_socket()

    def _has_own_socket(self) -> bool:
        return self._socket is None or self._socket.is_ours()

    def _check(self, failure: type[Exception]) -> None:
        """Raise `failure` if the job has closed or replaced the socket's descriptor."""
        if not self._has_own_socket():
            raise failure("the job has closed the socket of the connection")

    def _count(self, data: bytes) -> bytes:
        allowance = _CURRENT.get()
        if allowance is not None:
            allowance.bytes_left -= len(data)
            if allowance.bytes_left < 0:
                raise httpcore.RemoteProtocolError("the answer is too long")
        return data


class BoundedStream(Connection, httpcore.NetworkStream):
    """Network stream whose reads and writes end with the attempt."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._socket = TrackedSocket(stream.get_extra_info("socket"))

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what has come; see `httpcore.NetworkStream`."""
        self._check(httpcore.ReadError)
        seconds = _seconds(timeout, httpcore.ReadTimeout)
        return self._count(self._stream.read(max_bytes, seconds))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of `buffer`; see `httpcore.NetworkStream`."""
        # In pieces: httpcore restarts the timeout after each partial write.
        for start in range(0, len(buffer), _PIECE_BYTES):
            self._check(httpcore.WriteError)
            piece = buffer[start : start + _PIECE_BYTES]
            self._stream.write(piece, _seconds(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        """Close the connection."""
        self._has_own_socket()
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Return a stream that speaks TLS over this connection."""
        seconds = _seconds(timeout, httpcore.ConnectTimeout)
        return BoundedStream(
            self._stream.start_tls(ssl_context, server_hostname, seconds)
        )

    def get_extra_info(self, info: str) -> Any:
        """Return a property of the connection; see `httpcore.NetworkStream`."""
        # The pool closes an idle connection that is readable.
        if info == "is_readable" and self._is_unusable:
            return True
        return self._stream.get_extra_info(info)


class AsyncBoundedStream(Connection, httpcore.AsyncNetworkStream):
    """The asynchronous twin of `BoundedStream`; the event loop bounds its time."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._socket = TrackedSocket(stream.get_extra_info("socket"))

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what has come; see `httpcore.AsyncNetworkStream`."""
        self._check(httpcore.ReadError)
        return self._count(await self._stream.read(max_bytes, timeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of `buffer`; see `httpcore.AsyncNetworkStream`."""
        self._check(httpcore.WriteError)
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        self._has_own_socket()
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Return a stream that speaks TLS over this connection."""
        try:
            stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            # httpcore closes the stream after errors, but not after a cancellation.
            await self._stream.aclose()
            raise
        return AsyncBoundedStream(stream)

    def get_extra_info(self, info: str) -> Any:
        """Return a property of the connection; see `BoundedStream`."""
        if info == "is_readable" and self._is_unusable:
            return True
        return self._stream.get_extra_info(info)


class BoundedBackend(httpcore.NetworkBackend):
    """Opens connections within the time of the attempt."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of `host` that answers."""
        with _translated():
            seconds = _seconds(timeout, httpcore.ConnectTimeout)
            addresses = look_up(host, port).result(seconds)
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for number, address in enumerate(addresses):
            seconds = _share(timeout, len(addresses) - number)
            try:
                with avoiding_standard_streams():
                    stream = self._backend.connect_tcp(
                        address, port, seconds, local_address, socket_options
                    )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return BoundedStream(stream)
        raise failure

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to a Unix socket."""
        seconds = _seconds(timeout, httpcore.ConnectTimeout)
        with avoiding_standard_streams():
            return BoundedStream(
                self._backend.connect_unix_socket(path, seconds, socket_options)
            )

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._backend.sleep(seconds)


class AsyncBoundedBackend(httpcore.AsyncNetworkBackend):
    """The asynchronous twin of `BoundedBackend`."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend) -> None:
        self._backend = backend

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of `host` that answers."""
        # Not by `loop.getaddrinfo()`: it would occupy threads that the script uses.
        with _translated():
            addresses = await asyncio.wrap_future(look_up(host, port))
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for number, address in enumerate(addresses):
            seconds = _share(timeout, len(addresses) - number)
            try:
                with avoiding_standard_streams():
                    stream = await self._backend.connect_tcp(
                        address, port, seconds, local_address, socket_options
                    )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return AsyncBoundedStream(stream)
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a Unix socket."""
        with avoiding_standard_streams():
            return AsyncBoundedStream(
                await self._backend.connect_unix_socket(path, timeout, socket_options)
            )

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._backend.sleep(seconds)


def connection_of(response: httpx.Response) -> Connection:
    """Return the connection that `response` was received on."""
    stream = response.extensions.get("network_stream")
    return stream if isinstance(stream, Connection) else Connection()


def is_followed(response: httpx.Response) -> bool:
    """Return whether the server sent bytes behind the answer; its body was read.

    Left on the connection, they would be read as the answer to the next request.
    """
    node: Any = response.stream
    # Private attributes: httpx and httpcore offer no public way to the parser's state.
    for name in ("_stream", "_httpcore_stream", "_stream", "_connection", "_h11_state"):
        node = getattr(node, name, None)
    return node is not None and bool(node.trailing_data[0])


def _seconds(timeout: float | None, late: type[Exception]) -> float | None:
    allowance = _CURRENT.get()
    return timeout if allowance is None else allowance.seconds(timeout, late)


def _share(timeout: float | None, address_count: int) -> float | None:
    seconds = _seconds(timeout, httpcore.ConnectTimeout)
    if seconds is None:
        return None
    return min(seconds, max(seconds / address_count, _SHARE_SECONDS))


@contextmanager
def _translated() -> Generator[None]:
    """Turn the failure of a look-up into the exception of httpcore for it."""
    try:
        yield
    except TimeoutError as error:
        raise httpcore.ConnectTimeout(str(error)) from error
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
