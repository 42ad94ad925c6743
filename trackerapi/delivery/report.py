"""Report of delivery: counts of delivered, undelivered, held and dropped records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """State of delivery of one TrackerApi.

    Attributes:
        delivered: Number of events that the backend has taken from this TrackerApi,
            events in leftover files included.
        waiting: Number of undelivered records, creations of jobs included.
        held: Number of records that the backend has rejected; `trackerapi outbox list`
            shows them.
        dropped: Numbers of lost events, by reason.
        oldest_waiting_at: Time of the oldest undelivered event; None if all events are
            delivered.
        last_error: Reason of the last failed attempt; None if the last attempt
            succeeded.

    Example:
        report = tracker.flush(timeout=30)
        if report.waiting:
            print(f"{report.waiting} records are not delivered: {report.last_error}")
    """

    delivered: int = 0
    waiting: int = 0
    held: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict[str, int])
    oldest_waiting_at: datetime | None = None
    last_error: str | None = None
