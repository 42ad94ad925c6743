"""Texts and links of metadata on the customer's page."""

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
class MetadataValue:
    """Metadata value on the customer's page.

    Attributes:
        name: Metadata key.
        text: Text of the value, with units.
        link: Web address to open; None for a value without a link.
    """

    name: str
    text: str
    link: str | None = None


def shown_metadata(
    keys: Sequence[Mapping[str, Any]], latest: Mapping[str, Any]
) -> Sequence[MetadataValue]:
    """Return the latest metadata values of a step for the page.

    Args:
        keys: Configurations of the metadata keys for the customer.
        latest: Latest value by key. A key that is missing or null is not shown.
    """
    return [
        _shown_value(key, latest[key["name"]])
        for key in keys
        if latest.get(key["name"]) is not None
    ]


def _shown_value(key: Mapping[str, Any], value: Any) -> MetadataValue:
    text = _text(value)
    if key["units"]:
        text = f"{text} {key['units']}"
    is_link = key["kind"] == "link" and _is_web_address(value)
    return MetadataValue(key["name"], text, value if is_link else None)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number_text(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_TEXT_LENGTH else text[: MAX_TEXT_LENGTH - 1] + "…"


def _is_web_address(value: Any) -> bool:
    """Return whether a value is an http or https address.

    Other schemes are unsafe: a `javascript:` link would run a script.
    """
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
