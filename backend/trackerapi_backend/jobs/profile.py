"""Rules for the profile of a provider, which customers read on their pages."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from trackerapi_backend.jobs.colors import (
    LIGHT_CARD,
    MIN_CONTRAST,
    contrast,
    shown_contrast,
)
from trackerapi_backend.jobs.mark import read_mark
from trackerapi_backend.problems import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

# Names without a fixed meaning: the zone of the machine, and a placeholder.
_NO_ZONES = frozenset({"localtime", "Factory"})


def checked_profile(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Check changes of a profile; return the values to store.

    Blocks: the names of time zones are read from the disk. A mark in base64 is returned
    as bytes.

    Args:
        changes: Members of the contract's `ProviderProfileChange`.

    Raises:
        Problem: If the time zone is unknown, the accent has too little contrast, or the
            mark is not a small PNG.
    """
    checked = dict(changes)
    if checked.get("time_zone") is not None:
        _check_time_zone(checked["time_zone"])
    if checked.get("accent") is not None:
        checked["accent"] = checked["accent"].lower()
        _check_accent(checked["accent"])
    if checked.get("mark") is not None:
        checked["mark"] = read_mark(checked["mark"])
    return checked


def _check_time_zone(name: str) -> None:
    known = available_timezones() - _NO_ZONES
    if name in known:
        return
    by_lower_case = {each.lower(): each for each in known}
    nearest = get_close_matches(name.lower(), by_lower_case, n=1)
    hint = f": did you mean {by_lower_case[nearest[0]]}?" if nearest else ""
    example = "" if nearest else ", such as Europe/Berlin"
    raise invalid("/time_zone", f"is not a name of the IANA database{example}{hint}")


def _check_accent(accent: str) -> None:
    if contrast(accent, LIGHT_CARD) < MIN_CONTRAST:
        raise invalid(
            "/accent",
            f"has a contrast of {shown_contrast(accent, LIGHT_CARD):.2f} to 1 on white,"
            f" and texts need at least {MIN_CONTRAST} to 1: choose a darker colour",
        )
