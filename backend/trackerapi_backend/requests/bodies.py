"""Bodies of requests: read within bounds, unpacked, parsed as strict JSON.

Sizes are counted while the bytes come in, unpacked ones as well, so that neither a
wrong Content-Length nor a few bytes of gzip can fill the memory. Large bodies are
examined in a thread of their own: the event loop goes on answering other requests.
A large body is refused while too many others wait for that thread.
"""

from __future__ import annotations

import asyncio
import json
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from trackerapi_backend.problems import Problem, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

T = TypeVar("T")

MAX_BODY_BYTES = 1024 * 1024
# A caller that is still sending reads no answer: this much is taken and thrown away.
MAX_IGNORED_BYTES = 8 * MAX_BODY_BYTES

# The worst body within both limits takes a few milliseconds to examine.
MAX_BYTES_ON_LOOP = 16 * 1024
MAX_LINES_ON_LOOP = 20

# Large bodies that may wait for the thread, the one in it included: the last of them
# is answered within seconds, before its caller gives up.
MAX_LARGE_BODIES = 32

_GZIP_WINDOW_BITS = 31

# One thread, because all threads share the interpreter: a second one would examine
# no more bodies, but let the event loop wait for both.
_thread = ThreadPoolExecutor(1, "bodies")
_places = threading.BoundedSemaphore(MAX_LARGE_BODIES)


async def read_body(request: Request, media_type: str) -> bytes:
    """Return the body of a request, unpacked.

    Raises:
        Problem: If there is none, or it is of another media type, packed in another
            way than gzip, broken or larger than `MAX_BODY_BYTES`.
    """
    sent_type = request.headers.get("content-type", media_type)
    if sent_type.partition(";")[0].strip().lower() != media_type:
        raise Problem("unsupported-media-type", f"This operation takes {media_type}.")
    packing = request.headers.get("content-encoding", "identity").strip().lower()
    if packing not in ("identity", "gzip"):
        raise Problem("unsupported-media-type", "Bodies may be packed with gzip only.")
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
    return _unpack(bytes(body)) if packing == "gzip" else bytes(body)


async def examined(body: bytes, examine: Callable[[bytes], T]) -> T:
    """Return what `examine` makes of a body, without holding up the event loop.

    Raises:
        Problem: If the body is large and `MAX_LARGE_BODIES` others wait already.
    """
    if len(body) <= MAX_BYTES_ON_LOOP and body.count(b"\n") <= MAX_LINES_ON_LOOP:
        return examine(body)
    if not _places.acquire(blocking=False):
        raise unavailable("Too many large requests wait to be examined.")
    try:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_thread, examine, body)
    finally:
        _places.release()


def _unpack(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(_GZIP_WINDOW_BITS)
    try:
        body = unpacker.decompress(packed, MAX_BODY_BYTES + 1)
    except zlib.error:
        raise Problem("malformed-request", "The body is not valid gzip.") from None
    if len(body) > MAX_BODY_BYTES:
        raise _too_large()
    if not unpacker.eof or unpacker.unused_data:
        raise Problem("malformed-request", "The body is not one whole gzip member.")
    return body


def _too_large() -> Problem:
    return Problem("too-large", f"The body has more than {MAX_BODY_BYTES} bytes.")


def parse_json(text: bytes) -> Any:
    """Return the value of one JSON text.

    Raises:
        Problem: If it is not UTF-8, not JSON (which knows no NaN and no Infinity) or
            nested too deeply to be read.
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
        # Python reads no whole number of more than 4,300 digits.
        raise Problem("malformed-request", "A number is too long.") from None
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise Problem("malformed-request", f"{name} is not JSON.")


def _finite_float(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise Problem("malformed-request", "A number is too large.")
    return number


# One for all lines: to make a decoder costs as much as to read a line with it.
_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite_float)
