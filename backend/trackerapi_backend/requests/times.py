"""Times in the members of a request."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from trackerapi_backend.instants import parse_instant
from trackerapi_backend.problems import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

MOST_AHEAD = timedelta(days=366)


def read_moment(document: Mapping[str, Any], member: str, *, now: datetime) -> datetime:
    """Return when something happened, as its member says; `now` where it does not.

    A time more than a year ahead was told by a clock that is wrong: it counts as `now`.

    Raises:
        Problem: If no calendar has it.
    """
    sent = read_instant(document, member)
    return now if sent is None or sent - now > MOST_AHEAD else sent


def read_instant(document: Mapping[str, Any], member: str) -> datetime | None:
    """Return the instant that a member names; None where it was not sent.

    Raises:
        Problem: If no calendar has it.
    """
    text = document.get(member)
    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError:
        raise invalid(f"/{member}", "is outside the years 1 to 9999") from None
