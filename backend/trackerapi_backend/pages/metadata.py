"""Texts and links of metadata on the customer's page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trackerapi_backend.pages.configured_texts import ConfiguredTexts
    from trackerapi_backend.pages.formats import Formats

MAX_TEXT_LENGTH = 200


@dataclass(frozen=True, slots=True)
class MetadataValue:
    """Metadata value on the customer's page.

    Attributes:
        name: Name of the metadata key for the reader.
        text: Text of the value, with units; name of the host for a link.
        link: Web address to open; None for a value without a link.
    """

    name: str
    text: str
    link: str | None = None


def shown_metadata(
    keys: Sequence[Mapping[str, Any]],
    latest: Mapping[str, Any],
    texts: ConfiguredTexts,
    formats: Formats,
) -> Sequence[MetadataValue]:
    """Return the latest metadata values of a step for the page.

    Args:
        keys: Configurations of the metadata keys for the customer.
        latest: Latest value by key. A key that is missing or null is not shown.
        texts: Names of the metadata keys in the language of the reader.
        formats: Language of the reader.
    """
    return [
        _shown_value(
            texts.metadata_name(key["name"]), key, latest[key["name"]], formats
        )
        for key in keys
        if latest.get(key["name"]) is not None
    ]


def _shown_value(
    name: str, key: Mapping[str, Any], value: Any, formats: Formats
) -> MetadataValue:
    if key["kind"] == "link" and _is_web_address(value):
        # Only the name of the host: readers cannot judge a long address.
        return MetadataValue(name, urlsplit(value).hostname or "", value)
    text = _text(value, formats)
    if key["units"]:
        text = f"{text} {key['units']}"
    return MetadataValue(name, text)


def _text(value: Any, formats: Formats) -> str:
    if isinstance(value, bool):
        return formats.word("yes" if value else "no")
    if isinstance(value, int | float):
        return formats.number(value)
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
