"""What events say about one step of a job; pure, as `projection` is.

What the product leaves open is decided here:

* `start`, `progress` and `step` begin an attempt where none is open, an `error`
  only if there never was one; `step`, `skip` and `error` close it, and so does the
  interruption of the job while the step is under way.
* A `complete` that names a step means what `step` means.
* Once a part has counted, a step's `completed` is the sum of the most that each
  part has reported, and those that name none are one part more. Until then a report
  stands for itself.
* A total of 0 says nothing: as the smallest total it would take shares back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

CLOCK_TOLERANCE = timedelta(minutes=5)


class StepStatus(StrEnum):
    """Where a step stands; what the end of its job means is in `shown_status()`."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_RUN = "not_run"
    CANCELLED = "cancelled"


SETTLED = frozenset({StepStatus.DONE, StepStatus.SKIPPED})


def shown_instant(occurred_at: datetime, received_at: datetime) -> datetime:
    """Return when an event happened, as far as the job's clock can be believed."""
    is_ahead = occurred_at - received_at > CLOCK_TOLERANCE
    return received_at if is_ahead else occurred_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What of an event the state of its job depends on.

    Attributes:
        occurred_at: When it happened, on the job's clock.
        received_at: When the backend took it.
        fraction: Share of the step that is done, 0 to 1; wins over `completed`.
        total: Units of work; `completed` of them are done.
        part: Who counted, where several count towards one step.
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
    def meaning(self) -> str:
        """The kind that the event counts as."""
        if self.kind == "complete" and self.tag is not None:
            return "step"
        return self.kind

    @property
    def key(self) -> tuple[datetime, bytes]:
        """Place in the order of the job's events."""
        return self.occurred_at, self.event_id

    @property
    def shown_at(self) -> datetime:
        """When it happened, as far as the job's clock can be believed."""
        return shown_instant(self.occurred_at, self.received_at)

    def share_of(self, completed: float | None, total: float | None) -> float:
        """Return the fraction of its step that the event reports, with these counts."""
        if self.fraction is not None:
            return self.fraction
        if total and completed is not None:
            return min(completed / total, 1.0)
        return 0.0


@dataclass(slots=True)
class StepState:
    """What the events so far say about one step.

    Attributes:
        counts: The most that each part has reported, by its name; "" for those that
            named none. Kept until the step is settled, when it no longer matters.
        least_total: Smallest total reported that is not 0; kept as long.
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
    least_total: float | None = None

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
            self.least_total,
        )

    def take(self, fact: Fact) -> None:
        """Fold one event that names this step."""
        kind = fact.meaning
        if kind in ("start", "progress", "step") or (
            kind == "error" and self.attempts == 0
        ):
            self._begin_attempt(fact)
        if kind in ("step", "skip", "error"):
            self.attempt_is_open = False
        if self.status not in SETTLED:
            self._move(fact)

    def interrupt(self) -> None:
        """End the open attempt of a step that is under way; the step is to do again."""
        if self.status in (StepStatus.RUNNING, StepStatus.WAITING):
            self.status = StepStatus.PENDING
            self.attempt_is_open = False

    def _begin_attempt(self, fact: Fact) -> None:
        if not self.attempt_is_open:
            self.attempts += 1
            self.attempt_is_open = True
        self.started_at = self.started_at or fact.shown_at

    def _move(self, fact: Fact) -> None:
        if fact.kind == "progress":
            self._count(fact)
        self.status = _step_status_after(fact)
        if self.status in SETTLED:
            self.fraction = 1.0
            self.counts, self.least_total = {}, None
        is_over = self.status in SETTLED or self.status is StepStatus.FAILED
        self.finished_at = fact.shown_at if is_over else None

    def _count(self, fact: Fact) -> None:
        part = fact.part or ""
        if fact.completed is not None:
            self.counts[part] = max(self.counts.get(part, 0.0), fact.completed)
        completed, total = fact.completed, fact.total
        if self.counts.keys() - {""}:
            completed = math.fsum(self.counts.values())
            total = fact.total or self.least_total
        self.fraction = max(self.fraction, fact.share_of(completed, total))
        self.completed, self.total = completed, total
        if fact.total:
            self.least_total = min(fact.total, self.least_total or fact.total)


def _step_status_after(fact: Fact) -> StepStatus:
    match fact.meaning:
        case "step":
            return StepStatus.DONE
        case "skip":
            return StepStatus.SKIPPED
        case "error":
            return StepStatus.WAITING if fact.retrying else StepStatus.FAILED
    return StepStatus.RUNNING
