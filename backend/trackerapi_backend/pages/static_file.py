"""Responses with static files, at addresses that change with their content."""

from __future__ import annotations

import gzip
from functools import lru_cache
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_COMPRESSED = 100
"""Maximum number of compressed files in the memory of a process."""

_YEAR_SECONDS = 365 * 24 * 60 * 60


def static_response(
    request: Request,
    content: bytes,
    media_type: str,
    *,
    is_current: bool,
    is_compressible: bool = True,
) -> Response:
    """Return a response with a file, compressed if the client accepts it.

    Args:
        request: Request of the client.
        content: Content of the file.
        media_type: Media type of the content.
        is_current: Whether the address has the version of this content. During an
            update, a page of another release may request another version. A browser
            must not keep the content of this release under that address.
        is_compressible: Whether compression makes the content smaller.
    """
    lifetime = f"public, max-age={_YEAR_SECONDS}, immutable"
    headers = {"Cache-Control": lifetime if is_current else "no-store"}
    if not is_compressible:
        return Response(content, media_type=media_type, headers=headers)
    headers["Vary"] = "Accept-Encoding"
    if _accepts_gzip(request.headers.get("accept-encoding", "")):
        content = _compressed(content)
        headers["Content-Encoding"] = "gzip"
    return Response(content, media_type=media_type, headers=headers)


@lru_cache(MAX_COMPRESSED)
def _compressed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def _accepts_gzip(header: str) -> bool:
    """Return whether `Accept-Encoding` names gzip with a weight other than 0."""
    for item in header.lower().split(","):
        name, _, weight = item.replace(" ", "").partition(";")
        if name == "gzip":
            return weight.removeprefix("q=").strip("0.") != "" if weight else True
    return False
