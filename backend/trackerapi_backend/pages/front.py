"""Pages for people who come without the address of anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.pages.rendering import page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def show(_request: Request) -> Response:
    """Show what this service is, and where a reader finds a job."""
    return page("front.html")


async def show_nothing(_request: Request) -> Response:
    """Show that a link leads to no page."""
    return page("dead_end.html", status=404)
