"""Metadata that a configuration gives to the customer, as the page shows it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from trackerapi_backend.pages.numbers import number_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
MAX_TEXT_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Value:
    """One value that the customer may read.

    Attributes:
        name: The metadata key.
        text: The value in words, with its units.
        link: Address to follow; None for what is no link.
    """

    name: str
    text: str
    link: str | None = None


def shown_values(
    keys: Sequence[Mapping[str, Any]], newest: Mapping[str, Any]
) -> Sequence[Value]:
    """Return the newest values of a step in words.

    Args:
        keys: Configurations of the metadata keys that the customer may read.
        newest: Newest value by key; null, or none at all, shows nothing.
    """
    return [
        _value(key, newest[key["name"]])
        for key in keys
        if newest.get(key["name"]) is not None
    ]


def _value(key: Mapping[str, Any], value: Any) -> Value:
    text = _text(value)
    if key["units"]:
        text = f"{text} {key['units']}"
    is_link = key["kind"] == "link" and _is_web_address(value)
    return Value(key["name"], text, value if is_link else None)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number_text(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_TEXT_LENGTH else text[: MAX_TEXT_LENGTH - 1] + "…"


def _is_web_address(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
