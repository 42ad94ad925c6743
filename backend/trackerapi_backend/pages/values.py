"""Metadata that a configuration gives to the customer, as the page shows it.

A key counts only where the step's configuration names it with the audience customer;
all else is the provider's and never leaves this module.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from trackerapi_backend.pages.numbers import number_text
from trackerapi_backend.store import events

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

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


def customer_values(
    db: Connection, job_id: int, step: Mapping[str, Any]
) -> Sequence[Value]:
    """Return the newest value of each key of a step that is for the customer."""
    wanted = {
        key["name"]: key
        for key in step["metadata_configurations"]
        if key["audience"] == "customer"
    }
    if not wanted:
        return []
    newest: dict[str, Any] = {}
    for row in events.latest_metadata(db, job_id, step["tag"]):
        for name, value in _members(row.event_metadata).items():
            newest.setdefault(name, value)
    return [
        _value(key, newest[name])
        for name, key in wanted.items()
        if newest.get(name) is not None
    ]


def _members(metadata: Any) -> dict[str, Any]:
    members = json.loads(metadata) if isinstance(metadata, str) else metadata
    return members if isinstance(members, dict) else {}


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
