"""The state of a job as a pure function of the set of its events.

Events count in the order of (`occurred_at`, `event_id`), each once, whenever and
in whatever batches they arrive: `advance()` folds a later event onto the state so
far and folds the whole set anew for an earlier one. Nothing here does I/O or reads
a clock.

What the product leaves open is decided here:

* The `step` or `skip` after which all configured steps are done or skipped acts
  exactly like a `complete` in its place (unless the job is to be finished
  explicitly), so "at 100" and "has succeeded" never differ.
* A `complete` that names a step is a `step`. A `cancel` or `interrupt` that names a
  step counts for nothing.
* An `interrupt` ends attempts only where it interrupts the job: in a job that has
  failed or was cancelled the steps stay as that end has left them.
* A job without a configuration knows no steps, and none is unknown to it: their
  events move its status alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from trackerapi_backend.projection.step import SETTLED, Fact, StepState, StepStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

PERCENT_BEFORE_SUCCESS = 99.99

_OF_A_STEP = frozenset({"start", "progress", "step", "skip", "error"})
_OF_A_JOB = _OF_A_STEP | {"complete", "cancel", "interrupt"}


class JobStatus(StrEnum):
    """Where a job stands."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


_ALIVE = frozenset({JobStatus.PENDING, JobStatus.RUNNING})
# An interrupted job is expected to go on, so it has not ended.
_NOT_ENDED = _ALIVE | {JobStatus.INTERRUPTED}
# What a report of work turns into running; only a `start` of the job undoes a cancel.
_STARTABLE = frozenset({JobStatus.PENDING, JobStatus.INTERRUPTED, JobStatus.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What of a job's creation its state depends on.

    Attributes:
        points: Points by step tag, in configuration order; None without a
            configuration.
        explicit_finish: Whether only a `complete` of the job finishes it.
    """

    points: Mapping[str, int] | None
    explicit_finish: bool = False


@dataclass(slots=True)
class JobState:
    """What the events so far say about a job.

    Attributes:
        has_succeeded: Whether the job ever succeeded; never taken back.
        steps: The steps that events have named, by tag.
        event_count: Events of any kind.
        last_occurred_at: Latest `occurred_at`, as the job's clock said it.
        last_event_at: Latest `received_at`.
        last_key: Place of the last folded event that could change a state.
    """

    status: JobStatus = JobStatus.PENDING
    has_succeeded: bool = False
    steps: dict[str, StepState] = field(default_factory=dict)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    event_count: int = 0
    last_occurred_at: datetime | None = None
    last_event_at: datetime | None = None
    last_key: tuple[datetime, bytes] | None = None

    def copy(self) -> JobState:
        """Return a state that shares nothing with this one."""
        steps = {tag: step.copy() for tag, step in self.steps.items()}
        return replace(self, steps=steps)

    def move(self, status: JobStatus, at: datetime) -> None:
        """Enter `status`; nothing happens to a job that is already there."""
        if status is self.status:
            return
        if status not in (JobStatus.CANCELLED, JobStatus.INTERRUPTED):
            self.started_at = self.started_at or at
        self.finished_at = at if status not in _NOT_ENDED else None
        self.status = status


def project(plan: Plan, facts: Iterable[Fact]) -> JobState:
    """Return the state that a set of events, each given once, amounts to."""
    state = JobState()
    for fact in sorted(facts, key=lambda fact: fact.key):
        _count(state, fact)
        if _matters(plan, fact):
            _apply(plan, state, fact)
    return state


def advance(
    plan: Plan,
    state: JobState,
    fresh: Sequence[Fact],
    all_facts: Callable[[], Iterable[Fact]],
) -> JobState:
    """Return the state after `fresh` events have come to those behind `state`.

    Args:
        plan: The job's plan, the same at every call.
        state: What the events before amount to; left as it is.
        fresh: Events that are new, in any order.
        all_facts: Reads all events including `fresh`; called only when one of
            them belongs before an event that is already folded.
    """
    moving = sorted(
        (fact for fact in fresh if _matters(plan, fact)), key=lambda fact: fact.key
    )
    if moving and state.last_key is not None and moving[0].key <= state.last_key:
        return project(plan, all_facts())
    after = state.copy()
    for fact in fresh:
        _count(after, fact)
    for fact in moving:
        _apply(plan, after, fact)
    return after


def percent(plan: Plan, state: JobState) -> float | None:
    """Return how far the job is, 0 to 100 in hundredths; None without a plan.

    It never falls as events come: each step counts with the largest fraction ever
    reported, and `fsum`, rounding and the bound keep the order of what they get.
    """
    if plan.points is None:
        return None
    if state.has_succeeded:
        return 100.0
    total = sum(plan.points.values())
    # Where no step has points, each counts as much as the next.
    weights = plan.points if total else dict.fromkeys(plan.points, 1)
    reached = math.fsum(
        weight * state.steps[tag].fraction
        for tag, weight in weights.items()
        if tag in state.steps
    )
    exact = 100.0 * reached / (total or len(weights) or 1)
    return min(round(exact, 2), PERCENT_BEFORE_SUCCESS)


def shown_status(state: JobState, step: StepState) -> StepStatus:
    """Return the status of a step as readers of the job see it."""
    has_ended = state.status not in _NOT_ENDED
    if step.status is StepStatus.PENDING:
        is_over = has_ended or state.has_succeeded
        return StepStatus.NOT_RUN if is_over else StepStatus.PENDING
    is_under_way = step.status in (StepStatus.RUNNING, StepStatus.WAITING)
    if is_under_way and state.status is JobStatus.CANCELLED:
        return StepStatus.CANCELLED
    if step.status is StepStatus.WAITING:
        # An attempt that nobody will make any more is a failure.
        return StepStatus.FAILED if has_ended else StepStatus.PENDING
    return step.status


def _matters(plan: Plan, fact: Fact) -> bool:
    """Return whether the event can change anything but counts."""
    if fact.tag is None:
        return fact.kind in _OF_A_JOB
    is_known = plan.points is None or fact.tag in plan.points
    return is_known and fact.meaning in _OF_A_STEP


def _count(state: JobState, fact: Fact) -> None:
    state.event_count += 1
    state.last_occurred_at = _later(state.last_occurred_at, fact.occurred_at)
    state.last_event_at = _later(state.last_event_at, fact.received_at)


def _later(known: datetime | None, new: datetime) -> datetime:
    return new if known is None else max(known, new)


def _apply(plan: Plan, state: JobState, fact: Fact) -> None:
    """Fold an event that matters and comes after all that were folded."""
    state.last_key = fact.key
    if fact.tag is not None and plan.points is not None:
        state.steps.setdefault(fact.tag, StepState()).take(fact)
    if fact.meaning == "complete" or _completes(plan, state, fact):
        state.has_succeeded = True
        state.move(JobStatus.SUCCEEDED, fact.shown_at)
    elif fact.kind == "cancel":
        if not state.has_succeeded:
            state.move(JobStatus.CANCELLED, fact.shown_at)
    elif fact.kind == "interrupt":
        _take_interrupt(state, fact)
    elif fact.kind == "error":
        _take_error(state, fact)
    elif state.status in _STARTABLE or (
        state.status is JobStatus.CANCELLED and fact.tag is None
    ):
        state.move(JobStatus.RUNNING, fact.shown_at)


def _completes(plan: Plan, state: JobState, fact: Fact) -> bool:
    """Return whether all steps are settled with this event."""
    if plan.explicit_finish or not plan.points or fact.tag is None:
        return False
    return fact.meaning in ("step", "skip") and all(
        tag in state.steps and state.steps[tag].status in SETTLED for tag in plan.points
    )


def _take_interrupt(state: JobState, fact: Fact) -> None:
    if state.status not in _ALIVE or state.has_succeeded:
        return
    for step in state.steps.values():
        step.interrupt()
    state.move(JobStatus.INTERRUPTED, fact.shown_at)


def _take_error(state: JobState, fact: Fact) -> None:
    if fact.tag is None:
        state.move(JobStatus.FAILED, fact.shown_at)
    elif state.status in _NOT_ENDED:
        status = JobStatus.RUNNING if fact.retrying else JobStatus.FAILED
        state.move(status, fact.shown_at)
