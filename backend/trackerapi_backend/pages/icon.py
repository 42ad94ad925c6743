"""Icon of a page in the tab of a browser: a ring that fills with the percentage.

A job that pauses or has ended has a shape instead. The address has the name of the icon
and the accent of the provider, so the content needs no query. All icons are drawn on
white, so they are visible in dark windows too.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from trackerapi_backend.pages.static_file import static_response
from trackerapi_backend.pages.texts import State

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

ROUTE = "/app/static/icon.{version}.svg"
RING_STEP = 5
"""Step of the ring in percent: a browser requests at most 21 rings of a job."""

_DOT = "dot"
_BY_STATE = {
    State.SUCCEEDED: "done",
    State.WITH_REMARKS: "done",
    State.FAILED: "failed",
    State.FAILED_WITHOUT_MESSAGE: "failed",
    State.CANCELLED: "cancelled",
    State.INTERRUPTED: "paused",
}
_RINGS = [f"ring-{percent}" for percent in range(0, 101, RING_STEP)]
_NAMES = frozenset({_DOT, *_BY_STATE.values(), *_RINGS})
_ACCENT = "#0c6a60"
# Colours of the style sheet for warnings, failures and soft texts on a light card.
_COLORS = {"paused": "#80480a", "failed": "#9c3018", "cancelled": "#4e5f5a"}
_FRAME = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="none"'
    ' stroke="{color}" stroke-width="4" stroke-linecap="round" stroke-linejoin="round">'
    '<circle cx="16" cy="16" r="16" fill="#fff" stroke="none"/>{shape}</svg>'
)
_CIRCLE = '<circle cx="16" cy="16" r="12"/>'
_DISC = '<circle cx="16" cy="16" r="{radius}" fill="{color}" stroke="none"/>'
_RING = (
    '<circle cx="16" cy="16" r="11" stroke-width="6" stroke-opacity=".25"/>'
    '<circle cx="16" cy="16" r="11" stroke-width="6" stroke-linecap="butt"'
    ' pathLength="100" stroke-dasharray="{percent} 100"'
    ' transform="rotate(-90 16 16)"/>'
)
_CROSS = f'{_CIRCLE}<path d="M12 12l8 8M20 12l-8 8"/>'
_SHAPES = {
    "ring": _RING,
    "dot": _CIRCLE + _DISC.replace("{radius}", "6"),
    "done": _DISC.replace("{radius}", "14")
    + '<path d="M9.5 16.5l4.5 4.5 8.5-9.5" stroke="#fff"/>',
    "paused": f'{_CIRCLE}<path d="M16 9.5v7l4.5 3"/>',
    "failed": _CROSS,
    "cancelled": _CROSS,
}
_HASH = hashlib.sha256(repr((_FRAME, _SHAPES, _COLORS, _ACCENT)).encode())
_CONTENT_VERSION = _HASH.hexdigest()[:16]
_VERSION = re.compile(r"([a-z]+(?:-[0-9]+)?)\.(?:([0-9a-f]{6})\.)?([0-9a-f]{16})")


def icon_address(name: str = _DOT, accent: str | None = None) -> str:
    """Return the address of an icon; browsers may keep its content forever.

    Args:
        name: Name of the icon, from `icon_name()`; by default the icon of other pages.
        accent: Accent of the provider, such as `#0c6a60`; None for the usual colour.
    """
    color = "" if accent is None else f"{accent.removeprefix('#')}."
    return ROUTE.format(version=f"{name}.{color}{_CONTENT_VERSION}")


def icon_name(state: State, percent: float | None) -> str:
    """Return the name of the icon of a job; `percent` is None without a percentage."""
    if state in _BY_STATE:
        return _BY_STATE[state]
    if percent is None:
        return _DOT
    return f"ring-{int(percent) // RING_STEP * RING_STEP}"


async def show(request: Request) -> Response:
    """Return an icon; the icon of other pages for an unknown name."""
    match = _VERSION.fullmatch(request.path_params["version"])
    is_known = match is not None and match[1] in _NAMES
    name, accent = (match[1], match[2]) if match and is_known else (_DOT, None)
    kind, _, percent = name.partition("-")
    color = _COLORS.get(kind, _ACCENT if accent is None else f"#{accent}")
    shape = _SHAPES[kind].format(color=color, percent=percent)
    content = _FRAME.format(color=color, shape=shape)
    return static_response(
        request,
        content.encode(),
        "image/svg+xml",
        is_current=match is not None and is_known and match[3] == _CONTENT_VERSION,
    )
