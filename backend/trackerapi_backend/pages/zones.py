"""Time zones of pages: zones by name, and names of zones for readers."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# Other abbreviations are the same in both languages.
_GERMAN = {"CET": "MEZ", "CEST": "MESZ", "WET": "WEZ", "WEST": "WESZ", "EET": "OEZ"}


def zone_named(name: str | None) -> tzinfo:
    """Return a zone by its IANA name; UTC for None.

    Return UTC also for a name that this host does not know, so that the page is shown.
    """
    try:
        return UTC if name is None else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def in_zone(instant: datetime, zone: tzinfo) -> datetime:
    """Return an instant in a zone; in UTC if the local year is not 1 to 9999."""
    try:
        return instant.astimezone(zone)
    except OverflowError:
        return instant.astimezone(UTC)


def abbreviation(local: datetime, language: str) -> str:
    """Return the name of the zone of a time, such as `CET`, or else `UTC+05:45`."""
    name = local.tzname() or "UTC"
    if name[0] in "+-":
        hours, minutes = name[:3], name[3:5]
        return f"UTC{hours}:{minutes}" if minutes else f"UTC{hours}"
    return _GERMAN.get(name, name) if language == "de" else name
