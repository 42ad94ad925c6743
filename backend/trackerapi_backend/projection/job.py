"""State of a job as a pure function of the set of its events, without I/O and clock.

Each event counts once, in the order of (`occurred_at`, `event_id`). The order and the
batches of arrival do not matter. `advance()` folds new events onto the state so far.

A late event belongs before a folded event. A late `progress` or `start` within an open
attempt changes no status: `advance()` only adds its counts. For any other late event,
`advance()` folds the statuses again. This fold reads all events but `progress`, and of
each step only the `progress` events that can change a status. The counts do not depend
on the order of events, so they stay. `advance()` folds all events instead if the fold
needs too many look-ups, or if a late `step` comes before progress that is counted.

Rules that the contract leaves open:

* A `step` or `skip` after which all configured steps are settled counts as `complete`,
  unless the job has an explicit finish. So a job is at 100 percent if and only if it
  has ever succeeded.
* A `complete` with a step counts as `step`. A `cancel` or `interrupt` with a step has
  no effect.
* An `interrupt` affects only a pending or running job that has never succeeded. It ends
  the open attempts of the steps.
* A job without a configuration accepts every tag and has no steps: its events change
  only the status of the job.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from trackerapi_backend.projection.kinds import (
    CANCEL,
    COMPLETE,
    ERROR,
    INTERRUPT,
    PROGRESS,
    START,
)
from trackerapi_backend.projection.pauses import Pause, latest_pause
from trackerapi_backend.projection.statuses import ENDED, SETTLED, JobStatus, StepStatus
from trackerapi_backend.projection.step import (
    StepState,
    key_of,
    kind_of,
    shown_at,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trackerapi_backend.projection.kinds import EventKind
    from trackerapi_backend.projection.step import Fact, Key

MAX_PERCENT_BEFORE_SUCCESS = 99.99
MIN_LOOK_UPS = 100
"""Number of look-ups of progress that a fold of the statuses may always make."""
EVENTS_PER_LOOK_UP = 20
"""Number of events that are folded in about the time of one look-up."""

_ALIVE = frozenset({JobStatus.PENDING, JobStatus.RUNNING})
# Statuses that any event of work, such as `start` or `step`, turns into `running`.
# `cancelled` is left out: late events of a stopped script must not undo the end.
_STARTABLE = frozenset({JobStatus.PENDING, JobStatus.INTERRUPTED, JobStatus.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Properties of a job, fixed at its creation, that determine its state.

    Attributes:
        points: Points of each step by tag, in the order of the configuration; None
            without a configuration.
        explicit_finish: Whether only a `complete` of the job finishes the job.
    """

    points: Mapping[str, int] | None
    explicit_finish: bool = False


@dataclass(slots=True)
class JobState:
    """State of a job after its events so far; times are microseconds since 1970.

    Attributes:
        has_succeeded: Whether the job has ever succeeded; no later event resets it.
        steps: States of the steps with events, by tag.
        event_count: Number of events of any kind.
        last_occurred_at: Latest `occurred_at`, on the clock of the job.
        last_event_at: Latest `received_at`.
        last_key: Sort key of the latest folded event that affects the state.
        changed_key: Sort key of the event that changed the status last.
        pause: Latest pause between two receipts of events; None without a pause.
    """

    status: JobStatus = JobStatus.PENDING
    has_succeeded: bool = False
    steps: dict[str, StepState] = field(default_factory=dict)
    started_at: int | None = None
    finished_at: int | None = None
    event_count: int = 0
    last_occurred_at: int | None = None
    last_event_at: int | None = None
    last_key: Key | None = None
    changed_key: Key | None = None
    pause: Pause | None = None

    @property
    def version(self) -> int:
        """Version of the job, from 1; each event increases it by 1."""
        return self.event_count + 1

    def step(self, tag: str) -> StepState:
        """Return the state of a step, a new one for its first event."""
        if tag not in self.steps:
            self.steps[tag] = StepState()
        return self.steps[tag]

    def forget_statuses(self) -> None:
        """Reset everything but the counts to the state before the first event."""
        self.status, self.has_succeeded = JobStatus.PENDING, False
        self.started_at = self.finished_at = self.changed_key = None
        for step in self.steps.values():
            step.forget_status()

    def enter(self, status: JobStatus, fact: Fact, key: Key) -> None:
        """Enter a status with an event; do nothing if the job has the status."""
        if status is self.status:
            return
        if status not in (JobStatus.CANCELLED, JobStatus.INTERRUPTED):
            self.started_at = self.started_at or shown_at(fact)
        self.finished_at = shown_at(fact) if status in ENDED else None
        self.status, self.changed_key = status, key


def project(plan: Plan, facts: Iterable[Fact]) -> JobState:
    """Return the state for a set of events, each given once and in any order."""
    state, in_order = JobState(), sorted(facts, key=key_of)
    _count_events(plan, state, in_order)
    for fact in in_order:
        kind = kind_of(fact)
        if _affects_state(plan, fact, kind):
            _apply(plan, state, fact, kind, key_of(fact))
    return state


class History(Protocol):
    """Stored events of one job, for a fold that reads few of them."""

    def status_facts(self) -> Iterable[Fact]:
        """Return at least all events but progress that can change a status.

        They are in the order of their keys. Progress is never included.
        """

    def next_progress(self, tag: str | None, after: Key | None) -> Fact | None:
        """Return the first progress with a tag after a key; None without progress.

        Args:
            tag: Tag of a step; None for progress of the job itself.
            after: Key of an event; None for the first progress of all.
        """

    def progress_tags(self) -> Iterable[str]:
        """Return the tags of all progress."""

    def all_facts(self) -> Iterable[Fact]:
        """Return all events, in any order."""


def advance(
    plan: Plan, state: JobState, fresh: Sequence[Fact], history: History
) -> JobState:
    """Return the state after new events.

    Args:
        plan: Plan of the job, the same at every call.
        state: State after all earlier events. This call changes it.
        fresh: New events in any order.
        history: All events including `fresh`; read only if a late event can change
            a status.
    """
    is_refold_needed, in_order = False, sorted(fresh, key=key_of)
    _count_events(plan, state, in_order)
    previous: tuple[EventKind, str | None] | None = None
    for fact in in_order:
        kind, key = kind_of(fact), key_of(fact)
        if not _affects_state(plan, fact, kind):
            continue
        is_late = state.last_key is not None and key < state.last_key
        # Most events are progress right after progress of the same step. Such an event
        # changes no status: the earlier progress opens the attempt, or causes a refold.
        is_repeated = kind is PROGRESS and previous == (kind, fact.tag)
        previous = kind, fact.tag
        if is_repeated or (
            not is_refold_needed and _changes_no_status(plan, state, fact, kind, key)
        ):
            _count(plan, state, fact, kind, key)
        elif is_late or is_refold_needed:
            _count(plan, state, fact, kind, key)
            is_refold_needed = True
        else:
            _apply(plan, state, fact, kind, key)
        if not is_late:
            state.last_key = key
    return _refold(plan, state, history) if is_refold_needed else state


def _refold(plan: Plan, counted: JobState, history: History) -> JobState:
    """Return the state with the statuses folded again.

    Args:
        plan: Plan of the job.
        counted: State with the counts of all events and with their last key.
        history: All events of the job.
    """
    last_key = counted.last_key
    try:
        if any(step.counts_too_much for step in counted.steps.values()):
            return project(plan, history.all_facts())
        state = _StatusFold(plan, counted, history).run()
    except _TooManyLookUps:
        return project(plan, history.all_facts())
    state.last_key = last_key
    return state


class _TooManyLookUps(Exception):
    """A fold of all events is cheaper than further look-ups."""


class _StatusFold:
    """Fold of the statuses of a job from its beginning; the counts stay.

    Between two events that change a status, only the first progress of a step can
    change a status: it begins an attempt, or it makes the job run again. So the fold
    looks for the next progress of a step only while a progress would have such an
    effect.

    Args:
        plan: Plan of the job.
        counted: State with the counts of all events; becomes the result.
        history: All events of the job.
    """

    def __init__(self, plan: Plan, counted: JobState, history: History) -> None:
        self._plan, self._history, self._state = plan, history, counted
        # A job with many steps and many failures would need a look-up for each step and
        # failure, while a transaction keeps all other jobs waiting.
        self._look_ups_left = max(
            MIN_LOOK_UPS, counted.event_count // EVENTS_PER_LOOK_UP
        )
        # Tags without a progress in `_upcoming`; None stands for progress of
        # the job itself.
        self._tags: set[str | None] = set(counted.steps)
        if plan.points is None:
            self._tags.update(history.progress_tags())
        self._tags.add(None)
        # Heap of the next progress of the watched tags, by key.
        self._upcoming: list[tuple[Key, str | None, Fact]] = []

    def run(self) -> JobState:
        """Return the state after all events; `last_key` is not set."""
        self._state.forget_statuses()
        self._watch(None)
        for fact in self._history.status_facts():
            kind = kind_of(fact)
            if _affects_state(self._plan, fact, kind):
                self._apply_progress_before(key_of(fact))
                self._apply(fact, kind)
        self._apply_progress_before(None)
        return self._state

    def _apply_progress_before(self, limit: Key | None) -> None:
        while self._upcoming and (limit is None or self._upcoming[0][0] < limit):
            _key, tag, fact = heapq.heappop(self._upcoming)
            self._tags.add(tag)
            self._apply(fact, PROGRESS)

    def _apply(self, fact: Fact, kind: EventKind) -> None:
        key = key_of(fact)
        _apply(self._plan, self._state, fact, kind, key)
        self._watch(key)

    def _watch(self, after: Key | None) -> None:
        """Find the next progress of each tag that could change a status."""
        for tag in [tag for tag in self._tags if self._can_change_status(tag)]:
            self._tags.remove(tag)
            self._look_ups_left -= 1
            if self._look_ups_left < 0:
                raise _TooManyLookUps
            fact = self._history.next_progress(tag, after)
            if fact is not None:
                heapq.heappush(self._upcoming, (key_of(fact), tag, fact))

    def _can_change_status(self, tag: str | None) -> bool:
        """Return whether a progress with a tag would change a status or an attempt."""
        if self._state.status in _STARTABLE:
            return True
        if tag is None:
            return self._state.status is JobStatus.CANCELLED
        if self._plan.points is None:
            return False
        step = self._state.steps.get(tag)
        return step is None or step.opened_key is None


def percent(plan: Plan, state: JobState) -> float | None:
    """Return the progress of a job in percent, to two decimals.

    The percentage never falls when events arrive: each step counts with the largest
    fraction reported so far.

    Returns:
        0 to 100, and 100 exactly if the job has succeeded; None without a
        configuration.
    """
    if plan.points is None:
        return None
    if state.has_succeeded:
        return 100.0
    total = sum(plan.points.values())
    # If all points are 0, each step has the same weight.
    weights = plan.points if total else dict.fromkeys(plan.points, 1)
    # `fsum` and `round` are monotonic: a larger fraction never lowers the result.
    reached = math.fsum(
        weight * state.steps[tag].fraction
        for tag, weight in weights.items()
        if tag in state.steps
    )
    exact = 100.0 * reached / (total or len(weights) or 1)
    return min(round(exact, 2), MAX_PERCENT_BEFORE_SUCCESS)


def shown_status(state: JobState, step: StepState) -> StepStatus:
    """Return the status of a step to show, which also depends on its job's status."""
    has_ended = state.status in ENDED
    if step.status is StepStatus.PENDING:
        is_over = has_ended or state.has_succeeded
        return StepStatus.NOT_RUN if is_over else StepStatus.PENDING
    is_under_way = step.status in (StepStatus.RUNNING, StepStatus.WAITING)
    if is_under_way and state.status is JobStatus.CANCELLED:
        return StepStatus.CANCELLED
    if step.status is StepStatus.WAITING:
        # After the end of the job no further attempt follows: the step has failed.
        return StepStatus.FAILED if has_ended else StepStatus.PENDING
    return step.status


def _affects_state(plan: Plan, fact: Fact, kind: EventKind) -> bool:
    """Return whether an event can change more than the counts of a job."""
    if fact.tag is None:
        return kind.affects_job
    is_known = plan.points is None or fact.tag in plan.points
    return is_known and kind.step_status is not None


def _changes_no_status(
    plan: Plan, state: JobState, fact: Fact, kind: EventKind, key: Key
) -> bool:
    """Return whether an event leaves all statuses and attempts unchanged.

    True for a `progress` or `start` within an open attempt, if the job has been in its
    status since before the event, and no report of work changes this status.
    """
    if kind not in (START, PROGRESS) or fact.tag is None:
        return False
    is_job_settled = (
        state.status not in _STARTABLE
        and state.changed_key is not None
        and state.changed_key < key
    )
    if plan.points is None:
        return is_job_settled
    step = state.steps.get(fact.tag)
    opened = None if step is None else step.opened_key
    return is_job_settled and opened is not None and opened < key


def _count(plan: Plan, state: JobState, fact: Fact, kind: EventKind, key: Key) -> None:
    """Add the counts of an event, which do not depend on the order of events."""
    if plan.points is None or fact.tag is None:
        return
    if kind is PROGRESS:
        state.step(fact.tag).count(fact, key)
    elif kind.step_status in SETTLED:
        state.step(fact.tag).settle(key)


def _count_events(plan: Plan, state: JobState, in_order: Sequence[Fact]) -> None:
    """Count events, which are in the order of their keys."""
    if not in_order:
        return
    state.event_count += len(in_order)
    state.last_occurred_at = _later(state.last_occurred_at, in_order[-1].occurred_at)
    if plan.points is not None:
        times: dict[str, list[int]] = {}
        for fact in in_order:
            if fact.tag is not None and fact.tag in plan.points:
                times.setdefault(fact.tag, []).append(shown_at(fact))
        for tag, of_step in times.items():
            state.step(tag).count_reports(of_step)
    state.pause = latest_pause(state.pause, state.last_event_at, in_order)
    last_event_at = max(fact.received_at for fact in in_order)
    state.last_event_at = _later(state.last_event_at, last_event_at)


def _later(before: int | None, now: int) -> int:
    return now if before is None else max(before, now)


def _apply(plan: Plan, state: JobState, fact: Fact, kind: EventKind, key: Key) -> None:
    """Fold an event that affects the state and is later than all folded events."""
    state.last_key = key
    if fact.tag is not None and plan.points is not None:
        state.step(fact.tag).apply(fact, kind, key)
    if kind is COMPLETE or (
        kind.step_status in SETTLED and _are_all_settled(plan, state, fact)
    ):
        state.has_succeeded = True
        state.enter(JobStatus.SUCCEEDED, fact, key)
    elif kind is CANCEL:
        if not state.has_succeeded:
            state.enter(JobStatus.CANCELLED, fact, key)
    elif kind is INTERRUPT:
        _apply_interrupt(state, fact, key)
    elif kind is ERROR:
        _apply_error(state, fact, key)
    elif state.status in _STARTABLE or (
        state.status is JobStatus.CANCELLED and fact.tag is None
    ):
        state.enter(JobStatus.RUNNING, fact, key)


def _are_all_settled(plan: Plan, state: JobState, fact: Fact) -> bool:
    """Return whether all steps are settled after an event of a step.

    Return False for a job with an explicit finish: only a `complete` finishes it.
    """
    if plan.explicit_finish or not plan.points or fact.tag is None:
        return False
    return all(
        tag in state.steps and state.steps[tag].status in SETTLED for tag in plan.points
    )


def _apply_interrupt(state: JobState, fact: Fact, key: Key) -> None:
    if state.status not in _ALIVE or state.has_succeeded:
        return
    for step in state.steps.values():
        step.interrupt()
    state.enter(JobStatus.INTERRUPTED, fact, key)


def _apply_error(state: JobState, fact: Fact, key: Key) -> None:
    if fact.tag is None:
        state.enter(JobStatus.FAILED, fact, key)
    elif state.status not in ENDED:
        status = JobStatus.RUNNING if fact.retrying else JobStatus.FAILED
        state.enter(status, fact, key)
