"""Style sheet of all pages, at an address that changes with its content."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request

ROUTE = "/app/static/page.{version}.css"
_YEAR_SECONDS = 365 * 24 * 60 * 60


@cache
def _content() -> bytes:
    return files(__package__ or "").joinpath("static/page.css").read_bytes()


@cache
def _version() -> str:
    return hashlib.sha256(_content()).hexdigest()[:16]


def stylesheet_address() -> str:
    """Return the address of the style sheet; browsers may keep its content forever."""
    return ROUTE.format(version=_version())


async def show(request: Request) -> Response:
    """Return the style sheet.

    During an update, a page of another release may request another version. The
    content of this release is better than none, but a browser must not keep it.
    """
    is_current = request.path_params["version"] == _version()
    lifetime = f"public, max-age={_YEAR_SECONDS}, immutable"
    headers = {"Cache-Control": lifetime if is_current else "no-store"}
    return Response(_content(), media_type="text/css", headers=headers)
