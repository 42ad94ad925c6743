"""Start page of the service, and page of an invalid link."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.instants import utc_now
from trackerapi_backend.pages.formats import Formats
from trackerapi_backend.pages.language import choices_of, language_of
from trackerapi_backend.pages.rendering import page
from trackerapi_backend.pages.texts import LANGUAGES, State

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def show(_request: Request) -> Response:
    """Show the start page."""
    return page("front.html")


async def show_invalid_link(request: Request) -> Response:
    """Show the page of an invalid link, with status 404."""
    formats = Formats(language_of(request), utc_now())
    return page(
        "dead_end.html",
        status=404,
        language=formats.language,
        languages=LANGUAGES,
        choices=choices_of(request),
        headline=formats.headline(State.INVALID_LINK, {}),
        line=formats.line(State.INVALID_LINK, {}),
    )
