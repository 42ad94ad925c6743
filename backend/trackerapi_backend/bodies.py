"""Bodies of requests: read within bounds, unpacked, parsed as strict JSON.

Sizes are counted while the bytes come in, unpacked ones as well, so that neither a
wrong Content-Length nor a few bytes of gzip can fill the memory.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, NoReturn

from trackerapi_backend.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_BODY_BYTES = 1024 * 1024
# A caller that is still sending reads no answer: this much is taken and thrown away.
MAX_IGNORED_BYTES = 8 * MAX_BODY_BYTES

_GZIP_WINDOW_BITS = 31


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
