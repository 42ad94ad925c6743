"""Bodies of requests: reading within limits, decompression, strict JSON.

The limits apply to the bytes that are received and decompressed: a wrong
Content-Length or a small gzip bomb cannot fill the memory. A thread examines large
bodies, so that the event loop can answer other requests. Providers take turns with the
thread. A large body gets status 503 while too many others wait.
"""

from __future__ import annotations

import asyncio
import json
import threading
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import msgspec

from trackerapi_backend.problems import Problem, unavailable
from trackerapi_backend.store.fair_queue import FairQueue, Load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from starlette.requests import Request

T = TypeVar("T")

MAX_BODY_BYTES = 1024 * 1024
MAX_IGNORED_BYTES = 8 * MAX_BODY_BYTES
"""Maximum size of a body that is read to its end before it is rejected, in bytes.

Most clients read the response only after they have sent the whole body."""

MAX_BYTES_ON_LOOP = 16 * 1024
"""Maximum size of a body that the event loop examines, in bytes.

The examination blocks the event loop for a few milliseconds. A thread would need more
time to be woken than to examine such a body."""
MAX_LINES_ON_LOOP = 60

# With these limits and those of the writer's queue, a process needs at most 150 MB.
MAX_ALL_LARGE_BODIES = 64
"""Maximum number of large bodies of all providers that wait."""
MAX_LARGE_BODIES = MAX_ALL_LARGE_BODIES // 2
"""Maximum number of large bodies of one provider that wait.

The thread finishes this number within seconds, before the last client times out."""

MAX_LARGE_BYTES = 20 * MAX_BODY_BYTES
"""Maximum size of all large bodies that wait, in bytes; half for a provider."""

MAX_BYTES_IN_PLAY = MAX_BODY_BYTES
"""Size of the large bodies in play, in bytes, at which no further body is examined."""
EXAMINE_SECONDS = 20.0
"""Time limit for the examination of a large body with its wait, in seconds.

While the store fails, each body in play waits for the retries of the writer. Without
the limit, the waiting bodies would wait for the retries of all bodies before them."""

MAX_READ_BYTES = 12 * MAX_BODY_BYTES
"""Maximum size of all large bodies that are read, in bytes; half for a provider."""
READ_SECONDS = 60.0
"""Time limit for reading a large body, in seconds: a dead client frees its memory."""

_GZIP_WINDOW_BITS = 31


@dataclass(slots=True, eq=False)
class _LargeBody:
    """Large body that waits for the thread, or is in play.

    Attributes:
        examine: Function that examines the body; None once it runs, so that the body
            is not kept.
        future: Future of the result.
        is_in_play: Whether the thread has taken the body.
    """

    examine: Callable[[], Any] | None
    load: Load
    future: Future[Any] = field(default_factory=Future)
    is_in_play: bool = False


class LargeBodies:
    """Large bodies that are read, wait for one thread, or are in play.

    A body is in play from the beginning of its examination until its request has used
    the result. The thread waits while too many bodies are in play: it would only
    examine bodies for which the writer has no time, and delay the writer. Providers
    take turns.

    Safe to share between event loops.
    """

    def __init__(self) -> None:
        # Reserved memory of the bodies that are read. Nothing takes turns here: each
        # request removes its own reservation.
        self._read: FairQueue[object] = FairQueue(MAX_ALL_LARGE_BODIES, MAX_READ_BYTES)
        self._waiting: FairQueue[_LargeBody] = FairQueue(
            MAX_ALL_LARGE_BODIES, MAX_LARGE_BYTES, max_group_items=1
        )
        self._bytes_in_play = 0
        # Protects the queues and the number: event loops and the thread use them.
        self._lock = threading.Lock()
        # A single thread: threads share the interpreter lock. A second thread would
        # not examine more bodies per second, but would delay the event loop further.
        self._thread = ThreadPoolExecutor(1, "bodies")

    @contextmanager
    def reserved_memory(self, provider_id: int, size_bytes: int) -> Iterator[bool]:
        """Reserve memory for a body during the block; yield False if none is free."""
        reservation, load = object(), Load(provider_id, 0, size_bytes)
        with self._lock:
            is_reserved = self._read.add(reservation, load)
        try:
            yield is_reserved
        finally:
            with self._lock:
                self._read.remove(reservation, load)

    @asynccontextmanager
    async def examined(
        self, examine: Callable[[], T], provider_id: int, size_bytes: int
    ) -> AsyncIterator[T]:
        """Yield the result of `examine()`, which runs in the thread.

        Raises:
            Problem: If too many other large bodies wait, or this body has waited for
                `EXAMINE_SECONDS`.
            Exception: Any exception of `examine`.
        """
        load = Load(provider_id, events=0, size_bytes=size_bytes)
        body = _LargeBody(examine, load)
        del examine
        with self._lock:
            if not self._waiting.add(body, load):
                raise unavailable("Too many large requests wait to be examined.")
        self._thread.submit(self._examine_next)
        try:
            yield await _wait_for(body.future)
        finally:
            with self._lock:
                self._waiting.remove(body, load)
                if body.is_in_play:
                    self._bytes_in_play -= size_bytes
            self._thread.submit(self._examine_next)

    def _examine_next(self) -> None:
        """Examine the body that has the next turn, then the others."""
        with self._lock:
            if self._bytes_in_play >= MAX_BYTES_IN_PLAY:
                return  # The thread goes on when a request has used its result.
            group = self._waiting.next_group()
            for body in group:  # At most one.
                body.is_in_play = True
                self._bytes_in_play += body.load.size_bytes
        for body in group:
            _examine(body)
            self._thread.submit(self._examine_next)


async def _wait_for(future: Future[T]) -> T:
    """Return the result of a future; raise Problem after `EXAMINE_SECONDS`."""
    try:
        async with asyncio.timeout(EXAMINE_SECONDS):
            return await asyncio.wrap_future(future)
    except TimeoutError:
        raise unavailable("Other large requests take too long.") from None


def _examine(body: _LargeBody) -> None:
    """Examine a body, unless its request was cancelled; set the result."""
    examine, body.examine, future = body.examine, None, body.future
    if examine is None or not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(examine())
    except Exception as error:  # noqa: BLE001 -- the request gets it
        future.set_exception(error)
    finally:
        # The traceback of the exception refers to this frame. Without these references
        # it would keep the body until the next garbage collection.
        del examine, future, body


_large_bodies = LargeBodies()


async def read_body(request: Request, media_type: str, provider_id: int = 0) -> bytes:
    """Return the decompressed body of a request.

    Args:
        request: Request whose body is not yet read.
        media_type: Media type that the operation accepts.
        provider_id: Provider of the request; 0 for a public operation.

    Raises:
        Problem: If the request has no body or another media type, or the body is
            broken, compressed other than by gzip, or larger than `MAX_BODY_BYTES`; or
            if the body is large, and too many others are read.
    """
    sent_type = request.headers.get("content-type", media_type)
    if sent_type.partition(";")[0].strip().lower() != media_type:
        raise Problem(
            "unsupported-media-type", f"This operation accepts only {media_type}."
        )
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise Problem(
            "unsupported-media-type", "A body may be compressed with gzip only."
        )
    body = await _receive(request, provider_id)
    if not body and "content-type" not in request.headers:
        raise Problem("malformed-request", "The request has no body.")
    return _decompress(body) if encoding == "gzip" else body


async def _receive(request: Request, provider_id: int) -> bytes:
    """Return the body as it was sent; keep no large body beyond the limits."""
    # A body without a length comes in chunks.
    announced = int(request.headers.get("content-length", MAX_BODY_BYTES))
    if announced <= MAX_BYTES_ON_LOOP:
        return await _join_chunks(request)
    size_bytes = min(announced, MAX_BODY_BYTES)
    with _large_bodies.reserved_memory(provider_id, size_bytes) as is_reserved:
        try:
            async with asyncio.timeout(READ_SECONDS):
                body = await _join_chunks(request, is_kept=is_reserved)
        except TimeoutError:
            raise unavailable("The body of the request comes too slowly.") from None
    if not is_reserved:
        raise unavailable("Too many large requests are read.")
    return body


async def _join_chunks(request: Request, *, is_kept: bool = True) -> bytes:
    """Read a body to its end; return the body, or no bytes unless `is_kept`."""
    body, read_bytes = bytearray(), 0
    async for chunk in request.stream():
        read_bytes += len(chunk)
        if is_kept and read_bytes <= MAX_BODY_BYTES:
            body += chunk
        elif read_bytes > MAX_IGNORED_BYTES:
            break
    if read_bytes > MAX_BODY_BYTES:
        raise _too_large()
    return bytes(body)


def examined_body(
    body: bytes, examine: Callable[[bytes], T], provider_id: int = 0
) -> AbstractAsyncContextManager[T]:
    """Yield `examine(body)` to a block; call it in a thread if the body is large.

    The block uses the result: until its end, a large body delays the examination of
    others.

    Args:
        body: Decompressed body.
        examine: Function that parses and checks the body.
        provider_id: Provider of the request; 0 for a public operation.

    Raises:
        Problem: If the body is large, and too many other large bodies wait or take too
            long.
        Exception: Any exception of `examine`.
    """
    if len(body) <= MAX_BYTES_ON_LOOP and body.count(b"\n") <= MAX_LINES_ON_LOOP:
        return nullcontext(examine(body))
    return _large_bodies.examined(partial(examine, body), provider_id, len(body))


async def examine_body(
    body: bytes, examine: Callable[[bytes], T], provider_id: int = 0
) -> T:
    """Return `examine(body)`; arguments and exceptions as for `examined_body()`."""
    async with examined_body(body, examine, provider_id) as result:
        return result


def _decompress(compressed: bytes) -> bytes:
    decompressor = zlib.decompressobj(_GZIP_WINDOW_BITS)
    try:
        # Decompress at most one byte beyond the limit: a small gzip body can expand to
        # gigabytes.
        body = decompressor.decompress(compressed, MAX_BODY_BYTES + 1)
    except zlib.error:
        raise Problem("malformed-request", "The body is not valid gzip.") from None
    if len(body) > MAX_BODY_BYTES:
        raise _too_large()
    if not decompressor.eof or decompressor.unused_data:
        raise Problem("malformed-request", "The body is not one complete gzip member.")
    return body


def _too_large() -> Problem:
    return Problem("too-large", f"The body has more than {MAX_BODY_BYTES} bytes.")


def parse_json(text: bytes) -> Any:
    """Return the value of one JSON text.

    The fast decoder rejects the same texts as the decoder of the standard library,
    whose errors name line and column.

    Raises:
        Problem: If the text is not UTF-8, is not JSON (NaN and Infinity are invalid),
            or is nested too deeply for the parser.
    """
    try:
        return _fast_decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _parse_slowly(text)


def _parse_slowly(text: bytes) -> Any:
    try:
        value = _decoder.decode(text.decode())
    except UnicodeDecodeError as error:
        raise Problem(
            "malformed-request", f"The text is not UTF-8 at byte {error.start}."
        ) from None
    except json.JSONDecodeError as error:
        raise Problem(
            "malformed-request",
            f"Not JSON: {error.msg} at line {error.lineno}, column {error.colno}.",
        ) from None
    except RecursionError:
        raise Problem("malformed-request", "The JSON is nested too deeply.") from None
    except ValueError:
        # Python raises ValueError for an integer of more than 4,300 digits.
        raise Problem("malformed-request", "A number is too long.") from None
    return value


def _reject_constant(name: str) -> NoReturn:
    raise Problem("malformed-request", f"{name} is not JSON.")


def _finite_float(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise Problem("malformed-request", "A number is too large.")
    return number


# All lines share one decoder: creating a decoder is as slow as decoding a line.
_fast_decoder = msgspec.json.Decoder()
_decoder = json.JSONDecoder(parse_constant=_reject_constant, parse_float=_finite_float)
