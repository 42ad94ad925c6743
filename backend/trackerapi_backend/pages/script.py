"""Script of the customer's page, at an address that changes with its content."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from trackerapi_backend.pages.static_file import static_response
from trackerapi_backend.pages.words import MONTHS, WORDS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

ROUTE = "/app/static/page.{version}.js"

_WORDS = (
    *("now", "ago", "second", "seconds", "minute", "minutes", "hour", "hours"),
    *("reported", "reported_earlier", "on_day", "day", "as_of"),
    *("lost", "lost_line", "offline", "offline_line", "copied", "selected"),
)


def script_address() -> str:
    """Return the address of the script; browsers may keep its content forever."""
    return ROUTE.format(version=_version())


def script_texts(language: str) -> dict[str, object]:
    """Return the texts that the script shows, in a language: `WORDS` and months."""
    words = WORDS[language]
    return {key: words[key] for key in _WORDS} | {"months": MONTHS[language]}


async def show(request: Request) -> Response:
    """Return the script."""
    is_current = request.path_params["version"] == _version()
    return static_response(
        request, _content(), "text/javascript", is_current=is_current
    )


@cache
def _content() -> bytes:
    return files(__package__ or "").joinpath("static/page.js").read_bytes()


@cache
def _version() -> str:
    return hashlib.sha256(_content()).hexdigest()[:16]
