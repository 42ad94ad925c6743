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
* `completed` and `total` come from the newest progress. With parts, `completed` is the
  sum of the largest counts of the parts, and the smallest total replaces a missing
  `total`.
* A progress later than the first `step` or `skip` of its step is not counted: a done
  step stays done.
* A `total` of 0 counts as missing: as the smallest total it would make fractions 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from trackerapi_backend.projection.kinds import ERROR, PROGRESS, EventKind, find_kind
from trackerapi_backend.projection.statuses import SETTLED, StepStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

CLOCK_TOLERANCE = 5 * 60 * 1_000_000
"""Maximum lead of a job's clock, in microseconds.

A later time is shown as the time of the receipt."""


Key = tuple[int, bytes]
"""Sort key of an event among the events of its job: `occurred_at`, `event_id`."""


def shown_instant(occurred_at: int, received_at: int) -> int:
    """Return the time to show for an event; all times are in microseconds since 1970.

    A time more than `CLOCK_TOLERANCE` ahead of the receipt is replaced by the time of
    the receipt: the clock of the job is wrong.
    """
    is_ahead = occurred_at - received_at > CLOCK_TOLERANCE
    return received_at if is_ahead else occurred_at


class Fact(Protocol):
    """Fields of an event that determine the state of its job."""

    @property
    def occurred_at(self) -> int:
        """Time of the event on the clock of the job, in microseconds since 1970."""

    @property
    def event_id(self) -> bytes:
        """Id of the event, which orders events of the same time."""

    @property
    def received_at(self) -> int:
        """Time at which the backend received the event."""

    @property
    def kind(self) -> str:
        """Kind as it was sent."""

    @property
    def tag(self) -> str | None:
        """Step of the event; None for the whole job."""

    @property
    def fraction(self) -> float | None:
        """Completed share of the step, 0 to 1; wins over `completed`."""

    @property
    def completed(self) -> float | None:
        """Completed units of the step, or of the part."""

    @property
    def total(self) -> float | None:
        """Units of the whole step."""

    @property
    def part(self) -> str | None:
        """Worker that reports the count, if several workers share the step."""

    @property
    def retrying(self) -> bool:
        """Whether another attempt follows an `error` of a step."""

    @property
    def failed(self) -> float | None:
        """Units that failed, among the completed units of the step or of the part."""

    @property
    def max_attempts(self) -> int | None:
        """Maximum number of attempts, on an `error` that another attempt follows."""


def kind_of(fact: Fact) -> EventKind:
    """Return the effective kind of an event, from `find_kind()`."""
    return find_kind(fact.kind, fact.tag)


def key_of(fact: Fact) -> Key:
    """Return the sort key of an event among the events of its job."""
    return fact.occurred_at, fact.event_id


def shown_at(fact: Fact) -> int:
    """Return the time to show for an event, in microseconds since 1970."""
    return shown_instant(fact.occurred_at, fact.received_at)


@dataclass(slots=True)
class StepState:
    """State of one step after its events so far; times are microseconds since 1970.

    Attributes:
        largest_share: Largest share that one event has reported, 0 to 1.
        attempts: Attempts begun so far.
        opened_key: Key of the event that began the open attempt; None if no attempt is
            open.
        settled_key: Key of the first `step` or `skip`; None without such an event.
        newest_key: Key of the newest counted progress; None without such an event.
        newest_completed: `completed` of the newest counted progress.
        newest_total: `total` of the newest counted progress.
        smallest_total: Smallest total reported that is not 0.
        counts: Largest `completed` of each part, by name; "" for events without a
            part.
        failed_counts: Largest `failed` of each part, in the same form.
        max_attempts: Maximum number of attempts, from the latest `error` that has it.
        waiting_key: Key of the `error` after which the step waits for its next attempt;
            None unless the step waits.
        report_count: Number of events of the step of any kind.
        first_report_at: Earliest time of its events, as `shown_at()` returns it.
        last_report_at: Latest time of its events, as `shown_at()` returns it.
    """

    status: StepStatus = StepStatus.PENDING
    largest_share: float = 0.0
    attempts: int = 0
    opened_key: Key | None = None
    started_at: int | None = None
    finished_at: int | None = None
    settled_key: Key | None = None
    newest_key: Key | None = None
    newest_completed: float | None = None
    newest_total: float | None = None
    smallest_total: float | None = None
    counts: dict[str, float] = field(default_factory=dict)
    failed_counts: dict[str, float] = field(default_factory=dict)
    max_attempts: int | None = None
    waiting_key: Key | None = None
    report_count: int = 0
    first_report_at: int | None = None
    last_report_at: int | None = None

    @property
    def interval(self) -> float | None:
        """Mean interval between reports, in microseconds; None before two reports."""
        first, last = self.first_report_at, self.last_report_at
        if first is None or last is None or self.report_count <= 1:
            return None
        return (last - first) / (self.report_count - 1)

    @property
    def fraction(self) -> float:
        """Largest fraction so far, 0 to 1; 1 for a settled step."""
        if self.status in SETTLED:
            return 1.0
        if not self.part_count:
            return self.largest_share
        share = _share(self._sum_of_parts(), self.smallest_total)
        return max(self.largest_share, share)

    @property
    def completed(self) -> float | None:
        """Completed units; None if none were reported."""
        return self._sum_of_parts() if self.part_count else self.newest_completed

    @property
    def total(self) -> float | None:
        """Units of the whole step; None if unknown."""
        if self.part_count:
            return self.newest_total or self.smallest_total
        return self.newest_total

    @property
    def failed(self) -> float | None:
        """Units that failed; None if none were reported."""
        return math.fsum(self.failed_counts.values()) if self.failed_counts else None

    @property
    def part_count(self) -> int:
        """Number of named parts that have reported a count."""
        return len(self.counts) - ("" in self.counts)

    @property
    def parts(self) -> set[str]:
        """Names of the parts that have reported a count of any sort."""
        return (self.counts.keys() | self.failed_counts.keys()) - {""}

    def forget_status(self) -> None:
        """Reset everything but the counts to the state before the first event."""
        self.status, self.attempts, self.opened_key = StepStatus.PENDING, 0, None
        self.started_at = self.finished_at = self.max_attempts = None
        self.waiting_key = None

    def count_reports(self, times: Sequence[int]) -> None:
        """Count events by their times to show; the order of times has no effect."""
        self.report_count += len(times)
        first, last = min(times), max(times)
        if self.first_report_at is None or first < self.first_report_at:
            self.first_report_at = first
        if self.last_report_at is None or last > self.last_report_at:
            self.last_report_at = last

    def count(self, fact: Fact, key: Key) -> None:
        """Add the counts of a progress; the order of calls has no effect.

        Args:
            fact: Progress of this step.
            key: Its key.
        """
        if self.has_ended_before(key):
            return
        completed, total = fact.completed, fact.total
        if self.newest_key is None or key > self.newest_key:
            self.newest_key = key
            self.newest_completed, self.newest_total = completed, total
        if completed is not None:
            part = fact.part or ""
            if completed >= self.counts.get(part, 0.0):
                self.counts[part] = completed
        if fact.failed is not None:
            part, known = fact.part or "", self.failed_counts
            known[part] = max(known.get(part, 0.0), fact.failed)
        if total and (self.smallest_total is None or total < self.smallest_total):
            self.smallest_total = total
        share = _share(completed, total) if fact.fraction is None else fact.fraction
        if share > self.largest_share:
            self.largest_share = share

    def settle(self, key: Key) -> None:
        """Record the key of a `step` or `skip`; the order of calls has no effect.

        Progress later than the key may be counted already, see `counts_too_much`.
        """
        if self.settled_key is None or key < self.settled_key:
            self.settled_key = key

    @property
    def counts_too_much(self) -> bool:
        """Whether the counts include progress later than the end of the step."""
        return self.newest_key is not None and self.has_ended_before(self.newest_key)

    def has_ended_before(self, key: Key) -> bool:
        """Return whether the first `step` or `skip` is earlier than an event."""
        return self.settled_key is not None and self.settled_key < key

    def _sum_of_parts(self) -> float:
        # `fsum` is exact: the sum does not depend on the order of the parts.
        return math.fsum(self.counts.values())

    def apply(self, fact: Fact, kind: EventKind, key: Key) -> None:
        """Fold an event that is later than all folded status events of the job.

        Args:
            fact: Event of this step.
            kind: Its effective kind.
            key: Its key.
        """
        if kind is PROGRESS:
            self.count(fact, key)
        elif kind.step_status in SETTLED:
            self.settle(key)
        elif kind is ERROR and fact.max_attempts is not None:
            self.max_attempts = fact.max_attempts
        if self.opened_key is None and (
            kind.begins_attempt or (kind is ERROR and self.attempts == 0)
        ):
            self.attempts += 1
            self.opened_key = key
            self.started_at = self.started_at or shown_at(fact)
        if kind.ends_attempt:
            self.opened_key = None
        if self.status not in SETTLED:
            self._update_status(fact, kind, key)

    def interrupt(self) -> None:
        """End the open attempt of a step under way; the step is pending again."""
        if self.status in (StepStatus.RUNNING, StepStatus.WAITING):
            self.status = StepStatus.PENDING
            self.opened_key = self.waiting_key = None

    def _update_status(self, fact: Fact, kind: EventKind, key: Key) -> None:
        if kind is ERROR and fact.retrying:
            self.status, self.waiting_key = StepStatus.WAITING, key
        elif kind.step_status is not None:
            self.status, self.waiting_key = kind.step_status, None
        is_over = self.status in SETTLED or self.status is StepStatus.FAILED
        self.finished_at = shown_at(fact) if is_over else None


def _share(completed: float | None, total: float | None) -> float:
    if not total or completed is None:
        return 0.0
    return min(completed / total, 1.0)
