"""The start page of the service, and the page behind a dead link."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.pages.rendering import page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def show(_request: Request) -> Response:
    """Show the start page: purpose of the service, and the way to a job."""
    return page("front.html")


async def show_nothing(_request: Request) -> Response:
    """Show the page that says that a link leads nowhere."""
    return page("dead_end.html", status=404)
