"""Start page of the service, and page of an invalid link."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.pages.rendering import page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def show(_request: Request) -> Response:
    """Show the start page."""
    return page("front.html")


async def show_invalid_link(_request: Request) -> Response:
    """Show the page of an invalid link, with status 404."""
    return page("dead_end.html", status=404)
