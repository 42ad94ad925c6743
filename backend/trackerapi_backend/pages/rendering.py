"""Rendering of templates, and the security headers of pages."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from trackerapi_backend.pages.numbers import number_text

if TYPE_CHECKING:
    from datetime import datetime

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}


def page(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a response with a rendered template."""
    text = _environment().get_template(template).render(values)
    return HTMLResponse(text, status, _HEADERS)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("trackerapi_backend.pages"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["moment"] = _moment
    environment.filters["number"] = number_text
    return environment


def _moment(instant: datetime) -> str:
    """Return a text such as `2 Jan 2030, 14:05 UTC`."""
    return f"{instant.day} {instant:%b %Y, %H:%M} UTC"
