"""Bodies of requests: reading within limits, decompression, strict JSON.

The limits apply to the bytes that are received and decompressed: a wrong
Content-Length or a small gzip bomb cannot fill the memory. A thread examines large
bodies, so that the event loop can answer other requests. The thread examines one body
of a provider at a time, so that providers take turns. A large body gets status 503
while `MAX_LARGE_BODIES` other large bodies of the provider are examined or wait.
"""

from __future__ import annotations

import asyncio
import json
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from trackerapi_backend.problems import Problem, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

T = TypeVar("T")

MAX_BODY_BYTES = 1024 * 1024
MAX_IGNORED_BYTES = 8 * MAX_BODY_BYTES
"""Maximum size of a body that is read to its end before it is rejected, in bytes.

Most clients read the response only after they have sent the whole body."""

MAX_BYTES_ON_LOOP = 16 * 1024
"""Maximum size of a body that the event loop examines, in bytes.

The examination blocks the event loop for a few milliseconds."""
MAX_LINES_ON_LOOP = 20

MAX_LARGE_BODIES = 32
"""Maximum number of large bodies of one provider that are examined or wait.

The thread finishes this number within seconds, before the last client times out."""
MAX_ALL_LARGE_BODIES = 48
"""Maximum number of large bodies of all providers that are examined or wait."""

_GZIP_WINDOW_BITS = 31

# A single thread: threads share the interpreter lock. A second thread would not examine
# more bodies per second, but would delay the event loop further.
_thread = ThreadPoolExecutor(1, "bodies")
_slots = threading.BoundedSemaphore(MAX_ALL_LARGE_BODIES)


@dataclass(slots=True)
class _Turn:
    """Turn of one provider with the thread.

    Attributes:
        lock: Lock of the body that is examined.
        count: Number of bodies that are examined or wait.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    count: int = 0


# Turns of the providers with large bodies. Used by the event loop of the server alone.
_turns: dict[int, _Turn] = {}


async def read_body(request: Request, media_type: str) -> bytes:
    """Return the decompressed body of a request.

    Raises:
        Problem: If the request has no body or another media type, or the body is
            broken, compressed with something else than gzip, or larger than
            `MAX_BODY_BYTES`.
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
    body, read_bytes = bytearray(), 0
    async for chunk in request.stream():
        read_bytes += len(chunk)
        if read_bytes <= MAX_BODY_BYTES:
            body += chunk
        elif read_bytes > MAX_IGNORED_BYTES:
            break
    if read_bytes > MAX_BODY_BYTES:
        raise _too_large()
    if not body and "content-type" not in request.headers:
        raise Problem("malformed-request", "The request has no body.")
    return _decompress(bytes(body)) if encoding == "gzip" else bytes(body)


async def examine_body(
    body: bytes, examine: Callable[[bytes], T], provider_id: int = 0
) -> T:
    """Return `examine(body)`; call it in a thread if the body is large.

    Args:
        body: Decompressed body.
        examine: Function that parses and checks the body.
        provider_id: Provider of the request; 0 for a public operation.

    Raises:
        Problem: If the body is large, and too many other large bodies are examined or
            wait.
        Exception: Any exception of `examine`.
    """
    if len(body) <= MAX_BYTES_ON_LOOP and body.count(b"\n") <= MAX_LINES_ON_LOOP:
        return examine(body)
    turn = _turns.setdefault(provider_id, _Turn())
    if turn.count >= MAX_LARGE_BODIES or not _slots.acquire(blocking=False):
        raise unavailable("Too many large requests wait to be examined.")
    turn.count += 1
    try:
        loop = asyncio.get_running_loop()
        async with turn.lock:
            return await loop.run_in_executor(_thread, examine, body)
    finally:
        turn.count -= 1
        if not turn.count:
            del _turns[provider_id]
        _slots.release()


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

    Raises:
        Problem: If the text is not UTF-8, is not JSON (NaN and Infinity are invalid),
            or is nested too deeply for the parser.
    """
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
_decoder = json.JSONDecoder(parse_constant=_reject_constant, parse_float=_finite_float)
