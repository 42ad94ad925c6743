"""Report of delivery: counts of delivered, undelivered, held and dropped records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """How far delivery is, for one TrackerApi.

    Attributes:
        delivered: Events that the backend has taken from this TrackerApi, those that
            others had left behind among them.
        waiting: Records still to be delivered, creations of jobs among them.
        held: Records that the backend refused; `trackerapi outbox list` shows them.
        dropped: Events that are gone, by the reason.
        oldest_waiting_at: When the oldest waiting event happened; None without one.
        last_error: Why the last attempt failed; None if it did not.
    """

    delivered: int = 0
    waiting: int = 0
    held: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict[str, int])
    oldest_waiting_at: datetime | None = None
    last_error: str | None = None
