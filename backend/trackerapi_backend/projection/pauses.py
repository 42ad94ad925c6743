"""Pauses of a job: times in which none of its events was received.

Events that happened during a pause and are received after it show that the job worked
on without a connection. A pause alone does not show this.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trackerapi_backend.projection.step import Fact

PAUSE = 60 * 1_000_000
"""Longest time between two receipts that is no pause, in microseconds."""


class Pause(NamedTuple):
    """A pause, by the receipt that ended it; times are microseconds since 1970.

    Attributes:
        ended_at: `received_at` of the first events after the pause.
        first_at: Earliest `occurred_at` of these events.
    """

    ended_at: int
    first_at: int


def latest_pause(
    pause: Pause | None, last_received_at: int | None, fresh: Sequence[Fact]
) -> Pause | None:
    """Return the latest pause of a job; None without a pause.

    Events are folded in the order of their receipts, except that processes may store at
    the same time. If an earlier receipt is stored after the receipt that ended a pause,
    the earlier receipt ends the pause.

    Args:
        pause: Latest pause before the new events.
        last_received_at: Latest receipt before the new events; None without an event.
        fresh: New events in any order, at least one.
    """
    last, received = last_received_at, [fact.received_at for fact in fresh]
    ended_at = -1 if pause is None else pause.ended_at
    if last is not None and max(received) - last <= PAUSE and min(received) > ended_at:
        return pause  # the usual case, for many events a second
    for fact in sorted(fresh, key=attrgetter("received_at")):
        at, first_at = fact.received_at, fact.occurred_at
        if last is not None and at - last > PAUSE:
            pause = Pause(at, first_at)
        elif pause is not None and 0 <= pause.ended_at - at <= PAUSE:
            pause = min(pause, Pause(at, first_at))
        last = at if last is None else max(last, at)
    return pause
