"""Start page of the service, and pages in place of errors."""

from __future__ import annotations

import re
from http.client import (
    INTERNAL_SERVER_ERROR,
    METHOD_NOT_ALLOWED,
    TOO_MANY_REQUESTS,
)
from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse

from trackerapi_backend.instants import utc_now
from trackerapi_backend.pages.formats import Formats
from trackerapi_backend.pages.language import choices_of, language_of
from trackerapi_backend.pages.rendering import page
from trackerapi_backend.pages.texts import LANGUAGES, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from markupsafe import Markup
    from starlette.requests import Request
    from starlette.responses import Response

    from trackerapi_backend.problems import Problem

# Mail programs treat the punctuation or line end after a link as a part of the link.
_WITH_PUNCTUATION = re.compile(
    "(/s/[A-Za-z0-9_-]+|/app/jobs/[0-9]{1,16})[^A-Za-z0-9_-]{1,5}"
)


async def show(request: Request) -> Response:
    """Show the start page."""
    formats = _formats_of(request)
    headline, line = formats.word("front"), formats.word("front_line")
    return _notice(request, formats, headline, line, "front.html")


async def show_invalid_link(request: Request) -> Response:
    """Show the page of an invalid link; redirect a link with punctuation at its end."""
    match = _WITH_PUNCTUATION.fullmatch(request.scope["path"])
    if match is None:
        return _error_page(request, 404, State.INVALID_LINK)
    query = choices_of(request).query.removesuffix("?")
    address = request.scope["root_path"] + match[1] + query
    return RedirectResponse(address, 303, {"Referrer-Policy": "no-referrer"})


def is_for_people(path: str) -> bool:
    """Return whether people open the addresses with this path in a browser."""
    return path in ("/", "/s", "/app") or path.startswith(("/s/", "/app/"))


def failure_page(problem: Problem, request: Request) -> Response:
    """Return the page in place of a problem, with its status and headers.

    The page has no detail of the problem, which is for programs.
    """
    state = State.INVALID_LINK
    if problem.status == METHOD_NOT_ALLOWED:
        state = State.NOT_POSSIBLE
    elif problem.status == TOO_MANY_REQUESTS or problem.status >= INTERNAL_SERVER_ERROR:
        state = State.UNAVAILABLE
    return _error_page(request, problem.status, state, problem.headers)


def _error_page(
    request: Request,
    status: int,
    state: State,
    headers: Mapping[str, str] | None = None,
) -> Response:
    formats = _formats_of(request)
    headline, line = formats.headline(state, {}), formats.line(state, {})
    response = _notice(request, formats, headline, line, status=status)
    response.headers.update(headers or {})
    return response


def _formats_of(request: Request) -> Formats:
    root = request.scope["root_path"]
    return Formats(language_of(request), utc_now(), root=root)


def _notice(
    request: Request,
    formats: Formats,
    headline: Markup,
    line: Markup,
    template: str = "notice.html",
    *,
    status: int = 200,
) -> Response:
    """Return a page of one card: a headline, a line, and additions of the template."""
    return page(
        template,
        status=status,
        formats=formats,
        root=formats.root,
        language=formats.language,
        languages=LANGUAGES,
        choices=choices_of(request),
        headline=headline,
        line=line,
    )
