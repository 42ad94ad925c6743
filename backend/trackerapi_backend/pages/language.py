"""Choices of a reader of the customer's page: language and refresh."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from trackerapi_backend.pages.texts import LANGUAGES

if TYPE_CHECKING:
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


def language_of(request: Request) -> str:
    """Return the chosen language, or else the known language that the browser prefers.

    The default is English. Of languages with the same weight in `Accept-Language`, the
    first counts.
    """
    chosen = choices_of(request).lang
    if chosen is not None:
        return chosen
    weights: dict[str, float] = {}
    header = request.headers.get("accept-language", "")[:_MAX_HEADER_LENGTH]
    for item in header.split(","):
        name, _, weight = item.partition(";")
        base = name.strip().lower().partition("-")[0]
        if base in LANGUAGES:
            weights.setdefault(base, _weight(weight))
    best = max(weights, key=lambda base: weights[base], default=_DEFAULT)
    return best if weights.get(best) else _DEFAULT


def _weight(text: str) -> float:
    name, _, value = text.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
