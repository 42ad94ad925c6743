"""Language of a page, and choices of its reader: language and refresh."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from trackerapi_backend.instants import utc_now
from trackerapi_backend.pages.formats import Formats
from trackerapi_backend.pages.texts import LANGUAGES
from trackerapi_backend.pages.zones import zone_named

if TYPE_CHECKING:
    from sqlalchemy import Row
    from starlette.requests import Request

_DEFAULT = next(iter(LANGUAGES))
_MAX_HEADER_LENGTH = 1000


@dataclass(frozen=True, slots=True)
class Choices:
    """Choices in the query of a page's address.

    Attributes:
        lang: Language that the reader has chosen; None to follow the browser.
        is_still: Whether the page does not refresh itself.
    """

    lang: str | None = None
    is_still: bool = False

    @property
    def query(self) -> str:
        """Query with these choices, such as `?lang=de`; `?` without a choice."""
        chosen = {"lang": self.lang, "refresh": "off" if self.is_still else None}
        return "?" + urlencode({name: value for name, value in chosen.items() if value})

    def with_lang(self, lang: str) -> Choices:
        """Return these choices with another language."""
        return replace(self, lang=lang)

    def with_still(self, is_still: bool) -> Choices:
        """Return these choices with or without the refresh."""
        return replace(self, is_still=is_still)


def choices_of(request: Request) -> Choices:
    """Return the choices in the address of a request; unknown languages are ignored."""
    lang = request.query_params.get("lang")
    is_still = request.query_params.get("refresh") == "off"
    return Choices(lang if lang in LANGUAGES else None, is_still)


def formats_for(request: Request, link: Row[Any]) -> Formats:
    """Return language and time zone for a reader of the page of a share link."""
    language = language_of(request, link.language, link.provider_language)
    root = request.scope["root_path"]
    return Formats(language, utc_now(), zone_named(link.time_zone), root)


def language_of(
    request: Request, of_link: str | None = None, of_provider: str | None = None
) -> str:
    """Return the language of a page: of several settings, the first one counts.

    The settings are the choice of the reader, the language of the link, the known
    language that the browser prefers, the language of the provider, and English. Of
    languages with the same weight in `Accept-Language`, the first counts.
    """
    settings = (choices_of(request).lang, of_link, _preferred(request), of_provider)
    return next((each for each in settings if each in LANGUAGES), _DEFAULT)


def _preferred(request: Request) -> str | None:
    """Return the known language that the browser prefers."""
    weights: dict[str, float] = {}
    header = request.headers.get("accept-language", "")[:_MAX_HEADER_LENGTH]
    for item in header.split(","):
        name, _, weight = item.partition(";")
        base = name.strip().lower().partition("-")[0]
        if base in LANGUAGES:
            weights.setdefault(base, _weight(weight))
    best = max(weights, key=lambda base: weights[base], default=None)
    return best if best is not None and weights[best] else None


def _weight(text: str) -> float:
    name, _, value = text.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
