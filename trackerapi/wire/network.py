"""Network connections whose reads and writes end at the deadline of their attempt.

An attempt is one try of a request. httpx bounds single reads and writes. A server that
drips bytes would hold an attempt, its thread and its descriptor for ever.
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
from trackerapi.wire.resolution import resolve
from trackerapi.wire.sockets import TrackedSocket, avoiding_standard_streams

MAX_HEAD_BYTES: Final = 256 * 1024
"""Maximum size of headers and interim answers (103) before the body, in bytes."""

_PIECE_BYTES: Final = 16 * 1024
_MIN_CONNECT_SECONDS: Final = 1.0
"""Minimum time limit of connecting to one address of a host, in seconds."""


@dataclass(slots=True)
class AttemptBudget:
    """Time and bytes that one attempt may still use.

    Attributes:
        ends_at: Monotonic time at which the attempt ends, in seconds.
        bytes_left: Number of bytes that may still be read: those of the head, to which
            the reader of the body adds the limit of the body.
    """

    ends_at: float
    bytes_left: int = MAX_HEAD_BYTES

    def seconds(self, timeout: float | None, error_type: type[Exception]) -> float:
        """Return the time limit of one read or write.

        Args:
            timeout: Time limit of httpx, in seconds; None without a limit.
            error_type: Exception to raise if the attempt has ended.

        Raises:
            Exception: Of type `error_type`, if the attempt has ended.
        """
        seconds = self.ends_at - steady_seconds()
        if seconds <= 0:
            raise error_type("the attempt is over")
        return seconds if timeout is None else min(timeout, seconds)


# A context variable, since httpx offers no way to pass a value from request to stream.
_CURRENT: Final[ContextVar[AttemptBudget | None]] = ContextVar("attempt", default=None)


@contextmanager
def limited_to(budget: AttemptBudget) -> Generator[None]:
    """Limit all network use in the context to `budget`."""
    token = _CURRENT.set(budget)
    try:
        yield
    finally:
        _CURRENT.reset(token)


class ConnectionState:
    """State of one connection, shared by the blocking and the asynchronous stream.

    Attributes:
        is_spoiled: Whether the connection must not be used for another request.
        last_answer_id: Request id of the previous answer; None without a request id.
    """

    is_spoiled = False
    last_answer_id: str | None = None
    _socket: TrackedSocket | None = None

    def note_answer(self, request_id: str | None) -> None:
        """Record the request id of an answer.

        Raises:
            InvalidAnswer: If a proxy has sent the previous answer again.
        """
        if request_id and request_id == self.last_answer_id:
            raise InvalidAnswer("it repeats the answer to the previous request")
        self.last_answer_id = request_id

    @property
    def _is_unusable(self) -> bool:
        return self.is_spoiled or not self._has_own_socket()

    def _has_own_socket(self) -> bool:
        return self._socket is None or self._socket.is_ours()

    def _detach_lost_socket(self) -> None:
        """Make `close()` leave a descriptor alone that the job has closed.

        Its number may now belong to a file of the job.
        """
        self._has_own_socket()

    def _check_socket(self, error_type: type[Exception]) -> None:
        """Raise `error_type` if the job has closed or replaced the descriptor."""
        if not self._has_own_socket():
            raise error_type("the job has closed the socket of the connection")

    def _count(self, data: bytes) -> bytes:
        """Subtract received bytes from the budget, and return them.

        Raises:
            httpcore.RemoteProtocolError: If the budget is used up.
        """
        budget = _CURRENT.get()
        if budget is not None:
            budget.bytes_left -= len(data)
            if budget.bytes_left < 0:
                raise httpcore.RemoteProtocolError("the answer is too long")
        return data


class BoundedStream(ConnectionState, httpcore.NetworkStream):
    """Network stream: reads and writes end at the deadline of the attempt."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._socket = TrackedSocket(stream.get_extra_info("socket"))

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read received bytes; see `httpcore.NetworkStream`."""
        self._check_socket(httpcore.ReadError)
        seconds = _seconds(timeout, httpcore.ReadTimeout)
        return self._count(self._stream.read(max_bytes, seconds))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of `buffer`; see `httpcore.NetworkStream`."""
        # In pieces: httpcore restarts the timeout after each partial write.
        for start in range(0, len(buffer), _PIECE_BYTES):
            self._check_socket(httpcore.WriteError)
            piece = buffer[start : start + _PIECE_BYTES]
            self._stream.write(piece, _seconds(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        """Close the connection."""
        self._detach_lost_socket()
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


class AsyncBoundedStream(ConnectionState, httpcore.AsyncNetworkStream):
    """Asynchronous twin of `BoundedStream`; `asyncio.timeout()` bounds its time."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._socket = TrackedSocket(stream.get_extra_info("socket"))

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read received bytes; see `httpcore.AsyncNetworkStream`."""
        self._check_socket(httpcore.ReadError)
        return self._count(await self._stream.read(max_bytes, timeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of `buffer`; see `httpcore.AsyncNetworkStream`."""
        self._check_socket(httpcore.WriteError)
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        self._detach_lost_socket()
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
    """Network backend: opens connections within the time of the attempt.

    Args:
        backend: The network backend of httpcore that opens the sockets.
    """

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
        with _translate_errors():
            seconds = _seconds(timeout, httpcore.ConnectTimeout)
            addresses = resolve(host, port).result(seconds)
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for number, address in enumerate(addresses):
            seconds = _connect_seconds(timeout, len(addresses) - number)
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
        """Sleep."""
        self._backend.sleep(seconds)


class AsyncBoundedBackend(httpcore.AsyncNetworkBackend):
    """Asynchronous twin of `BoundedBackend`.

    Args:
        backend: The network backend of httpcore that opens the sockets.
    """

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
        # Not by `loop.getaddrinfo()`: a slow resolver would occupy the threads of the
        # loop's executor, which belong to the script.
        with _translate_errors():
            addresses = await asyncio.wrap_future(resolve(host, port))
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for number, address in enumerate(addresses):
            seconds = _connect_seconds(timeout, len(addresses) - number)
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
        """Sleep."""
        await self._backend.sleep(seconds)


def connection_of(response: httpx.Response) -> ConnectionState:
    """Return the state of the connection on which `response` was received."""
    stream = response.extensions.get("network_stream")
    return stream if isinstance(stream, ConnectionState) else ConnectionState()


def has_trailing_bytes(response: httpx.Response) -> bool:
    """Return whether the server sent bytes after the answer; call after the whole body.

    Such bytes would be read as the answer to the next request.
    """
    node: Any = response.stream
    # Private attributes: httpx and httpcore offer no public way to the parser's state.
    for name in ("_stream", "_httpcore_stream", "_stream", "_connection", "_h11_state"):
        node = getattr(node, name, None)
    return node is not None and bool(node.trailing_data[0])


def _seconds(timeout: float | None, error_type: type[Exception]) -> float | None:
    """Return the time limit of one read or write in the present attempt."""
    budget = _CURRENT.get()
    return timeout if budget is None else budget.seconds(timeout, error_type)


def _connect_seconds(timeout: float | None, address_count: int) -> float | None:
    """Return the time limit for one address: an equal share of the remaining time."""
    seconds = _seconds(timeout, httpcore.ConnectTimeout)
    if seconds is None:
        return None
    return min(seconds, max(seconds / address_count, _MIN_CONNECT_SECONDS))


@contextmanager
def _translate_errors() -> Generator[None]:
    """Turn failures of name resolution into exceptions of httpcore."""
    try:
        yield
    except TimeoutError as error:
        raise httpcore.ConnectTimeout(str(error)) from error
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
