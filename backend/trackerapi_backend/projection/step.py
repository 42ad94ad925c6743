"""State of one step as a fold of its events, without I/O and clock.

Rules that the contract leaves open:

* `start`, `progress` and `step` begin an attempt if no attempt is open. An `error`
  begins an attempt only if the step never had any. `step`, `skip` and `error` end the
  open attempt. An interruption of the job ends the attempt of a running or waiting
  step.
* A `complete` with a step counts as `step`.
* The `completed` of a step is the latest reported count, until a part reports a count.
  After this, `completed` is the sum of the largest count of each part. Events without a
  part count as one more part.
* A `total` of 0 counts as missing: as the smallest total, 0 would make each fraction 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trackerapi_backend.projection.kinds import ERROR, PROGRESS, EventKind, find_kind
from trackerapi_backend.projection.statuses import SETTLED, StepStatus

CLOCK_TOLERANCE = timedelta(minutes=5)
"""Maximum lead of a job's clock; a later time is shown as the time of the receipt."""


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
    def key(self) -> tuple[datetime, bytes]:
        """Sort key of the event among the events of its job."""
        return self.occurred_at, self.event_id

    @property
    def shown_at(self) -> datetime:
        """Time to show for the event."""
        return shown_instant(self.occurred_at, self.received_at)

    def fraction_of(self, completed: float | None, total: float | None) -> float:
        """Return the fraction of the step after the event.

        Args:
            completed: Completed units of the whole step.
            total: Units of the whole step.

        Returns:
            The `fraction` of the event if it has one, else `completed` / `total`, at
            most 1; 0 if `completed` or `total` is missing.
        """
        if self.fraction is not None:
            return self.fraction
        if total and completed is not None:
            return min(completed / total, 1.0)
        return 0.0


@dataclass(slots=True)
class StepState:
    """State of one step after its events so far.

    Attributes:
        fraction: Largest fraction reported so far, 0 to 1.
        completed: Completed units by the latest `progress`; None if unknown.
        total: Units of the whole step by the latest `progress`; None if unknown.
        attempts: Attempts begun so far.
        attempt_is_open: Whether the last attempt has not ended.
        counts: Largest `completed` of each part, by name; "" for events without a
            part. Empty once the step is settled.
        smallest_total: Smallest total reported that is not 0; None once the step is
            settled.
    """

    status: StepStatus = StepStatus.PENDING
    fraction: float = 0.0
    completed: float | None = None
    total: float | None = None
    attempts: int = 0
    attempt_is_open: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    counts: dict[str, float] = field(default_factory=dict)
    smallest_total: float | None = None

    def copy(self) -> StepState:
        """Return an equal state; `replace()` would take ten times as long."""
        return StepState(
            self.status,
            self.fraction,
            self.completed,
            self.total,
            self.attempts,
            self.attempt_is_open,
            self.started_at,
            self.finished_at,
            self.counts.copy(),
            self.smallest_total,
        )

    def apply(self, fact: Fact, kind: EventKind) -> None:
        """Fold one event of this step; `kind` is its effective kind."""
        if kind.begins_attempt or (kind is ERROR and self.attempts == 0):
            self._begin_attempt(fact)
        if kind.ends_attempt:
            self.attempt_is_open = False
        if self.status not in SETTLED:
            self._update_status(fact, kind)

    def interrupt(self) -> None:
        """Make a running or waiting step pending again, and end its open attempt."""
        if self.status in (StepStatus.RUNNING, StepStatus.WAITING):
            self.status = StepStatus.PENDING
            self.attempt_is_open = False

    def _begin_attempt(self, fact: Fact) -> None:
        if not self.attempt_is_open:
            self.attempts += 1
            self.attempt_is_open = True
        self.started_at = self.started_at or fact.shown_at

    def _update_status(self, fact: Fact, kind: EventKind) -> None:
        if kind is PROGRESS:
            self._count(fact)
        if kind is ERROR and fact.retrying:
            self.status = StepStatus.WAITING
        elif kind.step_status is not None:
            self.status = kind.step_status
        if self.status in SETTLED:
            self.fraction = 1.0
            # No later event changes the fraction of a settled step, so its snapshot
            # needs no counts.
            self.counts, self.smallest_total = {}, None
        is_over = self.status in SETTLED or self.status is StepStatus.FAILED
        self.finished_at = fact.shown_at if is_over else None

    def _count(self, fact: Fact) -> None:
        part = fact.part or ""
        if fact.completed is not None:
            self.counts[part] = max(self.counts.get(part, 0.0), fact.completed)
        completed, total = fact.completed, fact.total
        if self.counts.keys() - {""}:
            # `fsum` is exact: the sum does not depend on the order of the parts.
            completed = math.fsum(self.counts.values())
            total = fact.total or self.smallest_total
        self.fraction = max(self.fraction, fact.fraction_of(completed, total))
        self.completed, self.total = completed, total
        if fact.total:
            self.smallest_total = min(fact.total, self.smallest_total or fact.total)
