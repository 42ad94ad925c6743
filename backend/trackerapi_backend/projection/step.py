"""State of one step as a fold of its events, without I/O and clock.

The status and the attempts depend on the order of the events. The counts do not: any
order of the same events leads to the same counts.

Rules that the contract leaves open:

* `start`, `progress` and `step` begin an attempt where no attempt is open; an `error`
  does so only for a step without any attempt. `step`, `skip` and `error` end the open
  attempt, and so does an interruption of the job while the step is under way.
* A `complete` with a step counts as `step`.
* The fraction is the largest share that one event reports. If parts report counts, the
  fraction is at least the sum of the largest counts of all parts, divided by the
  smallest total. Events without a part count as one more part.
* `completed` and `total` are those of the newest progress. With parts, `completed` is
  the sum of their largest counts, and a missing `total` is the smallest one.
* A `total` of 0 counts as missing: as the smallest total it would make fractions 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trackerapi_backend.projection.kinds import ERROR, PROGRESS, EventKind, find_kind
from trackerapi_backend.projection.statuses import SETTLED, StepStatus

CLOCK_TOLERANCE = timedelta(minutes=5)
"""Maximum lead of a job's clock; a later time is shown as the time of the receipt."""


Key = tuple[datetime, bytes]
"""Sort key of an event among the events of its job: `occurred_at`, `event_id`."""


def shown_instant(occurred_at: datetime, received_at: datetime) -> datetime:
    """Return the time to show for an event.

    A time more than `CLOCK_TOLERANCE` ahead of the receipt is replaced by the time of
    the receipt: the clock of the job is wrong.
    """
    is_ahead = occurred_at - received_at > CLOCK_TOLERANCE
    return received_at if is_ahead else occurred_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Fields of an event that determine the state of its job.

    Attributes:
        occurred_at: Time of the event on the clock of the job.
        received_at: Time at which the backend received the event.
        kind: Kind as it was sent.
        tag: Step of the event; None for the whole job.
        fraction: Completed share of the step, 0 to 1; wins over `completed`.
        completed: Completed units of the step, or of the part.
        total: Units of the whole step.
        part: Worker that reports the count, if several workers share the step; else
            None.
        retrying: Whether another attempt follows an `error` of a step.
    """

    occurred_at: datetime
    event_id: bytes
    received_at: datetime
    kind: str
    tag: str | None = None
    fraction: float | None = None
    completed: float | None = None
    total: float | None = None
    part: str | None = None
    retrying: bool = False

    @property
    def effective_kind(self) -> EventKind:
        """Effective kind of the event, from `find_kind()`."""
        return find_kind(self.kind, self.tag)

    @property
    def key(self) -> Key:
        """Sort key of the event among the events of its job."""
        return self.occurred_at, self.event_id

    @property
    def shown_at(self) -> datetime:
        """Time to show for the event."""
        return shown_instant(self.occurred_at, self.received_at)

    @property
    def share(self) -> float:
        """Share of the step that this event alone reports, 0 to 1.

        The `fraction` of the event if it has one, else `completed` / `total`; 0 if a
        number is missing.
        """
        if self.fraction is not None:
            return self.fraction
        return _share(self.completed, self.total)


@dataclass(slots=True)
class StepState:
    """State of one step after its events so far.

    Attributes:
        largest_share: Largest share that one event has reported, 0 to 1.
        attempts: Attempts begun so far.
        opened_key: Key of the event that began the open attempt; None if no attempt is
            open.
        newest_key: Key of the newest progress; None without progress.
        newest_completed: `completed` of the newest progress.
        newest_total: `total` of the newest progress.
        smallest_total: Smallest total reported that is not 0.
        counts: Largest `completed` of each part, by name; "" for events without a
            part.
    """

    status: StepStatus = StepStatus.PENDING
    largest_share: float = 0.0
    attempts: int = 0
    opened_key: Key | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    newest_key: Key | None = None
    newest_completed: float | None = None
    newest_total: float | None = None
    smallest_total: float | None = None
    counts: dict[str, float] = field(default_factory=dict)

    @property
    def fraction(self) -> float:
        """Largest fraction so far, 0 to 1; 1 for a settled step."""
        if self.status in SETTLED:
            return 1.0
        if not self._has_parts:
            return self.largest_share
        share = _share(self._sum_of_parts(), self.smallest_total)
        return max(self.largest_share, share)

    @property
    def completed(self) -> float | None:
        """Completed units; None if none were reported."""
        return self._sum_of_parts() if self._has_parts else self.newest_completed

    @property
    def total(self) -> float | None:
        """Units of the whole step; None if unknown."""
        if self._has_parts:
            return self.newest_total or self.smallest_total
        return self.newest_total

    def copy(self) -> StepState:
        """Return an equal state; `replace()` would take ten times as long."""
        return StepState(
            self.status,
            self.largest_share,
            self.attempts,
            self.opened_key,
            self.started_at,
            self.finished_at,
            self.newest_key,
            self.newest_completed,
            self.newest_total,
            self.smallest_total,
            self.counts.copy(),
        )

    def forget_status(self) -> None:
        """Reset everything but the counts to the state before the first event."""
        self.status, self.attempts, self.opened_key = StepStatus.PENDING, 0, None
        self.started_at = self.finished_at = None

    def count(self, fact: Fact) -> None:
        """Add the counts of a progress event; the order of calls has no effect."""
        if self.newest_key is None or fact.key > self.newest_key:
            self.newest_key = fact.key
            self.newest_completed, self.newest_total = fact.completed, fact.total
        if fact.completed is not None:
            part = fact.part or ""
            self.counts[part] = max(self.counts.get(part, 0.0), fact.completed)
        if fact.total:
            self.smallest_total = min(fact.total, self.smallest_total or fact.total)
        self.largest_share = max(self.largest_share, fact.share)

    @property
    def _has_parts(self) -> bool:
        return len(self.counts) > ("" in self.counts)

    def _sum_of_parts(self) -> float:
        # `fsum` is exact: the sum does not depend on the order of the parts.
        return math.fsum(self.counts.values())

    def apply(self, fact: Fact, kind: EventKind) -> None:
        """Fold an event that is later than all folded status events of the job.

        Args:
            fact: Event of this step.
            kind: Its effective kind.
        """
        if kind is PROGRESS:
            self.count(fact)
        if kind.begins_attempt or (kind is ERROR and self.attempts == 0):
            self._begin_attempt(fact)
        if kind.ends_attempt:
            self.opened_key = None
        if self.status not in SETTLED:
            self._update_status(fact, kind)

    def interrupt(self) -> None:
        """End the open attempt of a step under way; the step is pending again."""
        if self.status in (StepStatus.RUNNING, StepStatus.WAITING):
            self.status = StepStatus.PENDING
            self.opened_key = None

    def _begin_attempt(self, fact: Fact) -> None:
        if self.opened_key is None:
            self.attempts += 1
            self.opened_key = fact.key
        self.started_at = self.started_at or fact.shown_at

    def _update_status(self, fact: Fact, kind: EventKind) -> None:
        if kind is ERROR and fact.retrying:
            self.status = StepStatus.WAITING
        elif kind.step_status is not None:
            self.status = kind.step_status
        is_over = self.status in SETTLED or self.status is StepStatus.FAILED
        self.finished_at = fact.shown_at if is_over else None


def _share(completed: float | None, total: float | None) -> float:
    if not total or completed is None:
        return 0.0
    return min(completed / total, 1.0)
