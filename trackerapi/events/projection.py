"""Projection: folds the events of this process into the state of a job and its steps.

The rules are the rules of the backend's projection, for events in the order of their
times. The tests of both projections use the same table, so the rules cannot diverge.
Steps with `after`, the view in a terminal and tests of job scripts use this projection.
The customer sees the backend's percentage. Nothing here does I/O or reads a clock.
"""

import math
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from trackerapi.events.event import KINDS, kinds_with

PERCENT_BEFORE_SUCCESS: Final = 99.99

SETTLED: Final = frozenset({"done", "skipped"})
"""Final statuses of a step."""

ALIVE: Final = frozenset({"pending", "running"})
"""Statuses of a job before its end."""

NOT_ENDED: Final = ALIVE | {"interrupted"}
"""`ALIVE` and interrupted: an interrupted job may run again."""

ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})
"""Statuses of a job after its end."""

_STATUSES: Final = NOT_ENDED | ENDED

MAX_UNCONFIGURED_STEPS: Final = 1000
"""Maximum number of steps without a configuration whose state is kept: a script may
use a new tag for each of a million files."""

_SETTLED_JOB: Final = frozenset({"running", "succeeded", "cancelled"})
"""Job statuses that a repeated `step` of a settled step leaves unchanged."""

_STARTABLE: Final = frozenset({"pending", "interrupted", "failed"})
"""Job statuses that a report of work changes to running."""

_WORKING: Final = frozenset({"running", "waiting"})
_WORK: Final = kinds_with("is_work")
_BEGINNING: Final = kinds_with("begins_attempt")
_CLOSING: Final = kinds_with("closes_attempt")
_STATUS_AFTER: Final = {kind.name: kind.step_status for kind in KINDS.values()}
_NOTHING: Final[Mapping[str, Any]] = {}


def unfinished_words(job_status: str, attempts: int) -> str:
    """Return the text for a step that is unfinished at the end of its job.

    Args:
        job_status: Status of the job.
        attempts: Number of attempts at the step that have begun.
    """
    if attempts:
        return "not finished"
    # A job that succeeded without a report of this step did not need the step.
    return "left out" if job_status == "succeeded" else "not reached"


def settles_step(kind: str) -> bool:
    """Return whether an event of this kind gives a step its final status."""
    return _STATUS_AFTER.get(kind) in SETTLED


def meaning(kind: str, tag: str | None) -> str:
    """Return the effective kind of an event: `step` for a `complete` of a step."""
    return "step" if kind == "complete" and tag is not None else kind


@dataclass(slots=True)
class StepProgress:
    """State of a step, folded from its events.

    Attributes:
        status: pending, running, waiting (for its next attempt), done, failed or
            skipped.
        fraction: Largest reported share of the step, 0.0 to 1.0.
        completed: Latest reported count of units done; None without a count.
        total: Latest reported count of all units; None if unknown.
        attempts: Number of attempts that have begun.
        is_trying: Whether the latest attempt is open.
        max_attempts: Latest reported maximum number of attempts; None without a report.
    """

    status: str = "pending"
    fraction: float = 0.0
    completed: float | None = None
    total: float | None = None
    attempts: int = 0
    is_trying: bool = False
    max_attempts: int | None = None
    _counts: dict[str, float] = field(default_factory=dict[str, float])
    _failed: dict[str, float] = field(default_factory=dict[str, float])
    _least_total: float | None = None

    @property
    def failed(self) -> float | None:
        """Units that failed; None without a report."""
        return math.fsum(self._failed.values()) if self._failed else None

    def take(self, kind: str, details: Mapping[str, Any]) -> None:
        """Fold an event of this step.

        Args:
            kind: Effective kind of the event; see `meaning()`.
            details: Other members of the event.
        """
        begins = kind in _BEGINNING or (kind == "error" and not self.attempts)
        if begins and not self.is_trying:
            self.attempts += 1
            self.is_trying = True
        if kind in _CLOSING:
            self.is_trying = False
        # A done step stays done: its counts are those before its end.
        if kind == "progress" and self.status not in SETTLED:
            self._count(details)
        status = _STATUS_AFTER.get(kind) or "running"
        if kind == "error":
            status = "waiting" if details.get("retrying") else status
            self.max_attempts = details.get("max_attempts") or self.max_attempts
        # Checked after the count: another thread may have ended the step meanwhile.
        if self.status not in SETTLED:
            self.status = status
        if self.status in SETTLED:
            self.fraction = 1.0

    def interrupt(self) -> None:
        """End the open attempt of a running step; the step becomes pending again."""
        if self.status in _WORKING:
            self.status = "pending"
            self.is_trying = False

    def _count(self, details: Mapping[str, Any]) -> None:
        completed, total = details.get("completed"), details.get("total")
        share = details.get("fraction")
        if share is None:
            share = _share(completed, total)
        if completed is not None:
            part = details.get("part") or ""
            self._counts[part] = max(self._counts.get(part, 0.0), completed)
        if (failed := details.get("failed")) is not None:
            part = details.get("part") or ""
            self._failed[part] = max(self._failed.get(part, 0.0), failed)
        # A total of 0 is ignored: as the minimum total it would lower the share.
        if total:
            self._least_total = min(total, self._least_total or total)
        if len(self._counts) > ("" in self._counts):
            # Several threads, processes or hosts count: the sum is the count of all.
            completed = math.fsum(self._counts.values())
            share = max(share, _share(completed, self._least_total))
            total = total or self._least_total
        self.fraction = max(self.fraction, share)
        self.completed, self.total = completed, total


def _share(completed: float | None, total: float | None) -> float:
    if not total or completed is None:
        return 0.0
    return min(completed / total, 1.0)


class JobProgress:
    """State of a job, folded from its events in the order of their times.

    Args:
        points: Points by step tag in the order of the configuration; None without a
            known configuration. Each step that an event names is then a step of the
            job.
        is_explicit: Whether the job succeeds only with a `complete` event.

    Attributes:
        points: Points by step tag, as in the argument.
        status: pending, running, succeeded, failed, cancelled or interrupted.
        steps: States of the steps that events have named, by tag.
        has_succeeded: Whether the job has ever succeeded.
    """

    def __init__(
        self, points: Mapping[str, float] | None = None, *, is_explicit: bool = False
    ) -> None:
        self.points, self._is_explicit = points, is_explicit
        self.status = "pending"
        self.steps: dict[str, StepProgress] = {}
        self.has_succeeded = self._has_failed_itself = False

    @property
    def has_ended(self) -> bool:
        """Whether the job has ended; the failure of a step alone does not end it."""
        return self.status in ("succeeded", "cancelled") or (
            self.status == "failed" and self._has_failed_itself
        )

    def configure(
        self, points: Mapping[str, float] | None, *, is_explicit: bool
    ) -> None:
        """Set the configuration, which may have been unknown before.

        Args:
            points: Points by step tag; None keeps the configuration.
            is_explicit: Whether the job succeeds only with a `complete` event.
        """
        self._is_explicit = is_explicit
        if points is None or points == self.points:
            return
        self.points = points
        for tag in self.steps.keys() - points.keys():
            self.steps.pop(tag, None)
        if not is_explicit and self.are_settled(points):
            self.has_succeeded, self.status = True, "succeeded"

    def take(
        self, kind: str, tag: str | None, details: Mapping[str, Any] = _NOTHING
    ) -> None:
        """Fold an event.

        Args:
            kind: Kind of the event.
            tag: Tag of the step; None for the job.
            details: Other members of the event.
        """
        kind = meaning(kind, tag)
        if tag is not None and not self._fold_step(kind, tag, details):
            return
        if kind == "complete" or self._is_completed_by(kind, tag):
            self.has_succeeded = True
            self.status = "succeeded"
        elif kind == "cancel":
            if not self.has_succeeded:
                self.status = "cancelled"
        elif kind == "interrupt":
            self._fold_interrupt()
        elif kind == "error":
            self._fold_error(tag, details)
        elif kind in _WORK and (
            self.status in _STARTABLE or (self.status == "cancelled" and tag is None)
        ):
            self.status = "running"

    def repeats(self, kind: str, tag: str | None) -> bool:
        """Fold an event that repeats the end of a settled step; else return False.

        Fast path: some scripts report the end of one step many times.
        """
        step = self.steps.get(tag) if tag is not None else None
        if (
            step is None
            or kind != "step"
            or step.status not in SETTLED
            or self.status not in _SETTLED_JOB
        ):
            return False
        step.attempts += not step.is_trying
        step.is_trying = False
        return True

    def recall_job(self, status: str, percent: float | None) -> None:
        """Set the state of the job as the backend knows it from earlier processes.

        Args:
            status: Status of the job; an unknown status is ignored.
            percent: Percent of the job; None without a configuration.
        """
        if status in _STATUSES:
            self.status = status
        self.has_succeeded = status == "succeeded" or percent == 100.0
        self._has_failed_itself = status == "failed"

    def recall(self, tag: str, status: str, fraction: float, attempts: int) -> None:
        """Set the state of a step as the backend knows it from earlier processes."""
        if status == "pending" and attempts:
            status = "waiting"  # the backend shows `waiting` as `pending`
        if status not in ("pending", "not_run"):
            # After a restart of the script, a running step continues its open attempt.
            self.steps[tag] = StepProgress(
                status, fraction, attempts=attempts, is_trying=status == "running"
            )

    def add_earlier(
        self, earlier: "JobProgress", reported: Container[str | None]
    ) -> None:
        """Merge a state from events of other processes into this state.

        Args:
            earlier: State of the job from earlier events; may include events that this
                object has folded too.
            reported: Tags of the steps that this process has reported; None for the
                job. Any other step takes its state from `earlier`. A step that is done
                or skipped stays so.
        """
        for tag, step in earlier.steps.items():
            own = self.steps.get(tag)
            is_newer = tag not in reported or step.status in SETTLED
            if own is None or (is_newer and own.status not in SETTLED):
                self.steps[tag] = step
            else:
                own.fraction = max(own.fraction, step.fraction)
                own.attempts = max(own.attempts, step.attempts)
        if earlier.has_succeeded:
            self.has_succeeded, self.status = True, "succeeded"
        elif self.status == "pending" or not reported:
            self.status = earlier.status
            self._has_failed_itself = earlier._has_failed_itself  # noqa: SLF001

    def step(self, tag: str) -> StepProgress:
        """Return the state of a step; a new state for a step without events."""
        return self.steps.setdefault(tag, StepProgress())

    def shown_status(self, tag: str) -> str:
        """Return the status of a step as the backend shows it in the job."""
        step = self.steps.get(tag)
        status = step.status if step else "pending"
        if self.status == "cancelled" and status in _WORKING:
            return "cancelled"
        has_ended = self.status not in NOT_ENDED
        if status == "waiting":
            return "failed" if has_ended else "pending"
        if status == "pending" and (self.has_succeeded or has_ended):
            return "not_run"
        return status

    @property
    def percent(self) -> float | None:
        """Progress of the job, 0 to 100 in hundredths; None without a configuration."""
        if self.points is None:
            return None
        if self.has_succeeded:
            return 100.0
        total = sum(self.points.values())
        weights = self.points if total else dict.fromkeys(self.points, 1)
        reached = math.fsum(
            weight * self.steps[tag].fraction
            for tag, weight in weights.items()
            if tag in self.steps
        )
        exact = 100.0 * reached / (total or len(weights) or 1)
        return min(round(exact, 2), PERCENT_BEFORE_SUCCESS)

    def are_settled(self, tags: Iterable[str]) -> bool:
        """Return whether all steps are done or skipped."""
        steps = map(self.steps.get, tags)
        return all(step is not None and step.status in SETTLED for step in steps)

    def _fold_step(self, kind: str, tag: str, details: Mapping[str, Any]) -> bool:
        """Fold an event into its step; return False if the event has no effect."""
        if kind not in _WORK and kind != "error":
            return False
        if self.points is None:
            if tag in self.steps or len(self.steps) < MAX_UNCONFIGURED_STEPS:
                self.step(tag).take(kind, details)
            return True
        if tag in self.points:
            self.step(tag).take(kind, details)
        return tag in self.points

    def _is_completed_by(self, kind: str, tag: str | None) -> bool:
        if self._is_explicit or not self.points or tag is None:
            return False
        return settles_step(kind) and self.are_settled(self.points)

    def _fold_error(self, tag: str | None, details: Mapping[str, Any]) -> None:
        if tag is None:
            self.status, self._has_failed_itself = "failed", True
        elif self.status in NOT_ENDED:
            self.status = "running" if details.get("retrying") else "failed"
            self._has_failed_itself = False

    def _fold_interrupt(self) -> None:
        if self.status not in ALIVE or self.has_succeeded:
            return
        for step in list(self.steps.values()):
            step.interrupt()
        self.status = "interrupted"
