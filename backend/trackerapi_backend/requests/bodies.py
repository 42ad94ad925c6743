"""Bodies of requests: reading within limits, decompression, examination.

The limits apply to the bytes that are received and decompressed: a wrong
Content-Length or a small gzip bomb cannot fill the memory. A thread examines large
bodies, so that the event loop can answer other requests.
"""

from __future__ import annotations

import zlib
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from trackerapi_backend.problems import Problem, unavailable
from trackerapi_backend.requests.large_bodies import MAX_BODY_BYTES, LargeBodies

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from starlette.requests import Request

T = TypeVar("T")

MAX_IGNORED_BYTES = 8 * MAX_BODY_BYTES
"""Maximum size of a body that is read to its end before it is rejected, in bytes.

Most clients read the response only after they have sent the whole body."""

MAX_BYTES_ON_LOOP = 32 * 1024
"""Maximum size of a body that the event loop examines, in bytes.

The examination blocks the event loop for about a millisecond. Waking a thread would
take longer than the examination of such a body."""
MAX_LINES_ON_LOOP = 60

_GZIP_WINDOW_BITS = 31

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
            if the body is large, and too many other large bodies are being read.
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
    """Return the body as it was sent; reject a body that exceeds the memory limits."""
    # A body without a length comes in chunks.
    announced = int(request.headers.get("content-length", MAX_BODY_BYTES))
    if announced <= MAX_BYTES_ON_LOOP:
        return await _join_chunks(request)
    size_bytes = min(announced, MAX_BODY_BYTES)
    with _large_bodies.reserved_memory(provider_id, size_bytes) as is_reserved:
        body = await _join_chunks(request, is_kept=is_reserved)
    if not is_reserved:
        raise unavailable("Too many large requests are being read.")
    return body


async def _join_chunks(request: Request, *, is_kept: bool = True) -> bytes:
    """Read a body to its end; return the body if `is_kept`, else no bytes."""
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

    The block uses the result. Until the end of the block, a large body delays the
    examination of other large bodies.

    Args:
        body: Decompressed body.
        examine: Function that parses and checks the body.
        provider_id: Provider of the request; 0 for a public operation.

    Raises:
        Problem: If the body is large, and too many other large bodies wait or take too
            long.
        Exception: Any exception of `examine`.
    """
    _large_bodies.note_request(provider_id)
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
