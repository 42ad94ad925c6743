"""Style sheet of all pages, at an address that changes with its content.

The pages of a provider with an accent have a style sheet of their own: the common style
sheet, followed by the colours that derive from the accent. The address has the accent,
so the content needs no query of the provider.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from trackerapi_backend.jobs.colors import (
    DARK_CARD,
    LIGHT_CARD,
    dark_variant,
    mixed,
    readable,
)
from trackerapi_backend.pages.static_file import static_response

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

ROUTE = "/app/static/page.{version}.css"
MAX_STYLE_SHEETS = 100
"""Maximum number of style sheets in the memory of a process."""

_VERSION = re.compile(r"(?:([0-9a-f]{6})\.)?([0-9a-f]{16})")
_LIGHT_GROUND = "#f2f5f4"
# Share of the card's colour in the background of the running step, and in its ring.
_CARD_SHARES = (0.9, 0.7)


@cache
def _common() -> bytes:
    return files(__package__ or "").joinpath("static/page.css").read_bytes()


@lru_cache(MAX_STYLE_SHEETS)
def _content(accent: str | None) -> bytes:
    return _common() if accent is None else _common() + accent_rules(accent).encode()


@lru_cache(MAX_STYLE_SHEETS)
def _version(accent: str | None) -> str:
    return hashlib.sha256(_content(accent)).hexdigest()[:16]


def accent_rules(accent: str) -> str:
    """Return the rules that follow the common style sheet for an accent.

    A link needs more contrast than the accent where its background is not the card.
    """
    dark = dark_variant(accent)
    wash, ring = (mixed(accent, LIGHT_CARD, share) for share in _CARD_SHARES)
    dark_wash, dark_ring = (mixed(dark, DARK_CARD, share) for share in _CARD_SHARES)
    link = readable(accent, "#000000", [LIGHT_CARD, _LIGHT_GROUND, wash])
    dark_link = readable(dark, "#ffffff", [DARK_CARD, dark_wash])
    # Print keeps the wash of the common style sheet, and the colours of a light page.
    return f"""
:root {{ --accent: {accent}; --link: {link}; }}

@media screen {{ :root {{ --accent-wash: {wash}; --ring: {ring}; }} }}

@media screen and (prefers-color-scheme: dark) {{
  :root {{
    --accent: {dark};
    --link: {dark_link};
    --accent-wash: {dark_wash};
    --ring: {dark_ring};
    --on-accent: #000;
  }}
}}
"""


def stylesheet_address(accent: str | None = None) -> str:
    """Return the address of a style sheet; browsers may keep its content forever.

    Args:
        accent: Accent of the provider, such as `#0c6a60`; None for the usual colours.
    """
    color = "" if accent is None else f"{accent.removeprefix('#')}."
    return ROUTE.format(version=f"{color}{_version(accent)}")


async def show(request: Request) -> Response:
    """Return the style sheet."""
    match = _VERSION.fullmatch(request.path_params["version"])
    accent = f"#{match[1]}" if match is not None and match[1] is not None else None
    is_current = match is not None and match[2] == _version(accent)
    return static_response(request, _content(accent), "text/css", is_current=is_current)
