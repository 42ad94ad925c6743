"""What events say about one step of a job; pure, as `projection` is.

* `start`, `progress` and `step` begin an attempt where none is open, an `error`
  only if there never was one; `step`, `skip` and `error` close it.
"""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What of an event the state of its job depends on.

    Attributes:
        occurred_at: When it happened, on the job's clock.
        received_at: When the backend took it.
        fraction: Share of the step that is done, 0 to 1; wins over `completed`.
        total: Units of work; `completed` of them are done.
    """

    occurred_at: datetime
    event_id: bytes
    received_at: datetime
    kind: str
    tag: str | None = None
    fraction: float | None = None
    completed: float | None = None
    total: float | None = None
    retrying: bool = False

    @property
    def key(self) -> tuple[datetime, bytes]:
        """Place in the order of the job's events."""
        return self.occurred_at, self.event_id

    @property
    def shown_at(self) -> datetime:
        """When it happened, as far as the job's clock can be believed."""
        if self.occurred_at - self.received_at > CLOCK_TOLERANCE:
            return self.received_at
        return self.occurred_at

    @property
    def share(self) -> float:
        """The fraction of its step that the event reports; 0 where it has none."""
        if self.fraction is not None:
            return self.fraction
        if self.total and self.completed is not None:
            return min(self.completed / self.total, 1.0)
        return 0.0


@dataclass(slots=True)
class StepState:
    """What the events so far say about one step."""

    status: StepStatus = StepStatus.PENDING
    fraction: float = 0.0
    completed: float | None = None
    total: float | None = None
    attempts: int = 0
    attempt_is_open: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None

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
        )

    def take(self, fact: Fact) -> None:
        """Fold one event that names this step."""
        if fact.kind in ("start", "progress", "step") or (
            fact.kind == "error" and self.attempts == 0
        ):
            self._begin_attempt(fact)
        if fact.kind in ("step", "skip", "error"):
            self.attempt_is_open = False
        if self.status not in SETTLED:
            self._move(fact)

    def _begin_attempt(self, fact: Fact) -> None:
        if not self.attempt_is_open:
            self.attempts += 1
            self.attempt_is_open = True
        self.started_at = self.started_at or fact.shown_at

    def _move(self, fact: Fact) -> None:
        if fact.kind == "progress":
            self.fraction = max(self.fraction, fact.share)
            self.completed, self.total = fact.completed, fact.total
        self.status = _step_status_after(fact)
        if self.status in SETTLED:
            self.fraction = 1.0
        is_over = self.status in SETTLED or self.status is StepStatus.FAILED
        self.finished_at = fact.shown_at if is_over else None


def _step_status_after(fact: Fact) -> StepStatus:
    match fact.kind:
        case "step":
            return StepStatus.DONE
        case "skip":
            return StepStatus.SKIPPED
        case "error":
            return StepStatus.WAITING if fact.retrying else StepStatus.FAILED
    return StepStatus.RUNNING
