"""Heads of requests: limits, and rules that the parser does not check."""

from __future__ import annotations

import httptools

from trackerapi_backend.problems import Problem

MAX_HEAD_BYTES = 32 * 1024
"""Maximum size of request line and headers, in bytes; nginx has the same limit.

A connection with an unfinished head of this size needs about 55 KB of memory."""
MAX_HEADERS = 100
"""Maximum number of headers: even a short header needs about 200 bytes of memory."""

_BYTES_BESIDE_HEADER = len(": \r\n")


def check_head(version: str, target: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """Check size, HTTP version, `Host` and `Transfer-Encoding` of a head.

    Raises:
        Problem: If the head is too large or not a head of HTTP/1.0 or HTTP/1.1.
    """
    size_bytes, hosts = len(target), 0
    for name, value in headers:
        size_bytes += len(name) + len(value) + _BYTES_BESIDE_HEADER
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding" and value.lower() != b"chunked":
            raise malformed("The only transfer encoding is chunked.")
    if size_bytes > MAX_HEAD_BYTES or len(headers) > MAX_HEADERS:
        raise head_too_large()
    if version not in ("1.0", "1.1"):
        raise malformed("The server speaks HTTP/1.1 and HTTP/1.0.")
    if hosts != 1 and (hosts > 1 or version == "1.1"):
        raise malformed(f"The request has {hosts} headers `Host` instead of 1.")


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """Return path and query of a request target.

    Raises:
        Problem: If the target is not a path or a URL of ASCII characters.
    """
    if not target.isascii():
        raise malformed("The path of the request has bytes outside of ASCII.")
    if target.startswith(b"/"):
        path, _, query = target.partition(b"?")
        return path, query
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        raise malformed("The target of the request is not a path.") from None
    return url.path or b"/", url.query or b""


def below_root(path: bytes, root: bytes) -> bytes:
    """Return a path without the path of the public address at its beginning.

    Args:
        path: Path of a request.
        root: Path of the public address, such as `/tracker`. A proxy may have removed
            this part from the path of the request already.
    """
    if path == root:
        return b"/"
    return path[len(root) :] if path.startswith(root + b"/") else path


def malformed(detail: str) -> Problem:
    """Return the problem of a request that is not valid HTTP."""
    return Problem("malformed-request", detail)


def head_too_large() -> Problem:
    """Return the problem of a head that is too long or has too many headers."""
    detail = (
        f"Request line and headers have more than {MAX_HEAD_BYTES} bytes or more than"
        f" {MAX_HEADERS} headers."
    )
    return Problem("head-too-large", detail)
