"""Rendering of templates, and the security headers of pages."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from trackerapi_backend.pages.icon import icon_address
from trackerapi_backend.pages.stylesheet import stylesheet_address

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
_SCRIPT_POLICY = f"{_POLICY}; script-src 'self'; connect-src 'self'"
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}


def page(
    template: str, *, status: int = 200, has_script: bool = False, **values: Any
) -> HTMLResponse:
    """Return a response with a rendered template.

    Args:
        template: Name of the template.
        status: Status of the response.
        has_script: Whether the page has the script of this service.
        values: Values for the template.
    """
    headers = security_headers(has_script=has_script)
    content = fragment(template, has_script=has_script, **values)
    return HTMLResponse(content, status, headers)


def security_headers(*, has_script: bool = False) -> dict[str, str]:
    """Return the headers of a page, which forbid files of other hosts and caching."""
    policy = _SCRIPT_POLICY if has_script else _POLICY
    return {"Content-Security-Policy": policy, **_HEADERS}


def fragment(template: str, **values: Any) -> str:
    """Return the text of a rendered template."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("trackerapi_backend.pages"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals.update(
        stylesheet=stylesheet_address(), icon=icon_address(), language="en"
    )
    return environment
