"""Badge of a job: a small image with name and percentage, for pages of other sites."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from trackerapi_backend.jobs.colors import LIGHT_CARD, mixed
from trackerapi_backend.pages.customer import find_link, find_view
from trackerapi_backend.pages.front import show_invalid_link
from trackerapi_backend.pages.language import formats_for
from trackerapi_backend.pages.rendering import fragment, security_headers
from trackerapi_backend.pages.texts import State
from trackerapi_backend.store import configurations, jobs, providers

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from starlette.requests import Request

    from trackerapi_backend.pages.customer import JobView
    from trackerapi_backend.pages.formats import Formats
    from trackerapi_backend.requests.call import Services

MAX_AGE_SECONDS = 30
"""Time for which a browser may show a badge again without a request, in seconds."""
MAX_LENGTH = 50
"""Maximum length of a text on a badge, in characters."""

_PADDING = 12
_MIN_VALUE_WIDTH = 60
_ACCENT = "#0c6a60"
_SOFT, _INK, _TRACK = "#4e5f5a", "#14201d", "#e0e8e5"
_BAD, _BAD_WASH = "#9c3018", "#fbeae5"
# Share of white in the fill: text has a contrast of 4.5 to 1 on each accent color.
_FILL_SHARE = 0.55
_FAILED = frozenset({State.FAILED, State.FAILED_WITHOUT_MESSAGE})
_SOFT_STATES = frozenset({State.SILENT, State.INTERRUPTED, State.CANCELLED})
_IN_WORDS = frozenset(
    {State.INTERRUPTED, State.CANCELLED, State.SUCCEEDED, State.WITH_REMARKS}
)
# Characters that XML forbids.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class _Text:
    """Text on a badge; lengths are in pixels.

    Attributes:
        length: Length of the text.
        width: Width of its background.
        direction: Direction of its first letter: `ltr` or `rtl`.
    """

    text: str
    length: int
    width: int
    direction: str


async def show(services: Services, request: Request) -> Response:
    """Return the badge of the job of a share link."""
    content = await run_in_threadpool(
        services.store.read, lambda db: _find_badge(db, request)
    )
    if content is None:
        return await show_invalid_link(request)
    headers = security_headers() | {
        "Cache-Control": f"private, max-age={MAX_AGE_SECONDS}",
        "Vary": "Accept-Language",
    }
    return Response(content, media_type="image/svg+xml", headers=headers)


def _find_badge(db: Connection, request: Request) -> str | None:
    """Return the badge for a request; None unless its link is valid."""
    link = find_link(db, request.path_params["token"])
    if link is None:
        return None
    job = jobs.find_job(db, link.provider_id, link.job_id)
    if job is None:
        return None
    profile = providers.get_profile(db, link.provider_id)
    settings = configurations.find_page_settings(db, job.configuration_id)
    formats = formats_for(request, link)
    view = find_view(db, job, profile, settings, formats)
    return fragment("badge.svg", **_values_of(view, profile.accent, formats))


def _values_of(view: JobView, accent: str | None, formats: Formats) -> dict[str, Any]:
    """Return the values for the template of a badge."""
    state, percent = view.head.state, view.percent
    fill = _SOFT if state in _SOFT_STATES else accent or _ACCENT
    colors = {
        "track": _TRACK,
        "ink": _INK,
        "fill": mixed(fill, LIGHT_CARD, _FILL_SHARE),
    }
    shown = f"{view.whole_percent} %"
    said = formats.word("percent", percent=view.whole_percent).striptags()
    if state in _FAILED:
        shown = said = formats.word("step.not_finished").striptags()
        colors = {"track": _BAD_WASH, "ink": _BAD, "fill": _BAD_WASH}
    elif state in _IN_WORDS or percent is None:
        shown = said = view.head.headline.striptags()
    name = _text(view.title or view.name)
    value = _text(shown, min_width=_MIN_VALUE_WIDTH)
    return {
        "name": name,
        "value": value,
        # Isolated: a name from right to left must not move the rest.
        "title": f"\u2068{name.text}\u2069: {said}",
        "fill_width": round(value.width * (percent or 0) / 100, 2),
        **colors,
    }


def _text(text: str, min_width: int = 0) -> _Text:
    shown = " ".join(_FORBIDDEN.sub("\ufffd", text).split())
    if len(shown) > MAX_LENGTH:
        shown = f"{shown[: MAX_LENGTH - 1].rstrip()}…"
    length = max(1, round(sum(map(_advance, shown))))
    strong = (unicodedata.bidirectional(each) for each in shown)
    first = next((each for each in strong if each in ("L", "R", "AL")), "L")
    width = max(length + _PADDING, min_width)
    return _Text(shown, length, width, "ltr" if first == "L" else "rtl")


def _advance(character: str) -> float:
    """Return the approximate width of a character in Verdana of 11 pixels.

    The image sets the lengths of its texts, so that other fonts fit too.
    """
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    if unicodedata.east_asian_width(character) in ("W", "F"):
        return 11
    if character in " .,:;'|!()[]/iIjlftr":
        return 4.5
    return 9.5 if character in "mwMW@%…" else 7
