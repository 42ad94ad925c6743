"""Snapshots of jobs and steps, made from the state of a job for a view.

A view has only a weak reference to a state: a strong reference would keep the delivery
of the handles alive. A view can show the reported progress without any handle.
"""

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trackerapi.events.projection import ALIVE, StepProgress
from trackerapi.view.rate import RateMeter, seconds_left

if TYPE_CHECKING:
    from trackerapi.config.job_config import StepConfiguration
    from trackerapi.jobs.counting import UnitCount
    from trackerapi.jobs.state import JobState

_NO_PROGRESS: Final = StepProgress()
_WORKING: Final = frozenset({"running", "waiting"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSnapshot:
    """A step at one moment.

    Attributes:
        tag: Tag of the step.
        name: Display name; the tag if the job has no configuration.
        status: pending, running, waiting (for its next attempt), done, failed,
            skipped, cancelled or not_run.
        fraction: Share done, 0.0 to 1.0.
        completed: Units done; None if the step does not count.
        total: Units in all; None if unknown.
        rate: Units a second; None if unknown.
        seconds_left: Remaining time; None if unknown.
        seconds: Running time of the step in this process, in seconds; None while the
            step runs, or if the step did not run in this process.
        attempts: Number of attempts begun.
        percent: Percent of the job when the step got its status, 0 to 100; None if
            unknown, or without a configuration.
        units: Name of the counted units; None without a name.
    """

    tag: str
    name: str
    status: str
    fraction: float = 0.0
    completed: float | None = None
    total: float | None = None
    rate: float | None = None
    seconds_left: float | None = None
    seconds: float | None = None
    attempts: int = 0
    percent: float | None = None
    units: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSnapshot:
    """A job at one moment.

    Attributes:
        provider_job_id: The provider's id of the job.
        tag: Tag of the configuration; empty without a configuration.
        name: Display name of the configuration; without a configuration, the
            provider's id.
        status: pending, running, succeeded, failed, cancelled or interrupted.
        percent: Estimate of this process, 0 to 100; None without a configuration.
        steps: Steps, in the order of the configuration.
        seconds: Seconds since the first event of the job in this process.
    """

    provider_job_id: str
    tag: str
    name: str
    status: str
    percent: float | None
    steps: tuple[StepSnapshot, ...]
    seconds: float


class WatchedJob:
    """A job in a view; any thread may construct it, only the board's thread reads it.

    Args:
        job: State of the job, which all its handles share.
        tag: Tag of the step of the first event; None for an event of the job.
        at: Monotonic time of the first event, in seconds.

    Attributes:
        before: Statuses of the steps before the first event, by tag.
        has_ended: Whether the view has shown the end. A job that ended may begin again.
        percents: Percent of the job at the newest event of each step, by tag; set in
            the thread of the event.
    """

    def __init__(self, job: "JobState", tag: str | None, at: float) -> None:
        self._job = weakref.ref(job)
        self._progress, self._config = job.progress, job.known.config
        self._id = job.known.provider_job_id
        self._rates: dict[str, RateMeter] = {}
        self._began: dict[str, float] = {}
        self._spent: dict[str, float] = {}
        self._began_at = at
        self.before = {name: step.status for name, step in self._steps().items()}
        self.before.pop(tag or "", None)
        self.has_ended = False
        self.percents: dict[str, float | None] = {}

    @property
    def is_gone(self) -> bool:
        """Whether all handles of the job were deleted."""
        return self._job() is None

    @property
    def is_over(self) -> bool:
        """Whether the job has ended or was interrupted."""
        return self._progress.has_ended or self._progress.status == "interrupted"

    def note_event(self) -> None:
        """Show the job again if an event after its end has set it to running."""
        if self._progress.status in ALIVE:
            self.has_ended = False

    def snapshot(self, at: float) -> JobSnapshot:
        """Return a snapshot of the job at a monotonic time in seconds."""
        job = self._job()
        counts: Mapping[str, UnitCount] = {}
        if job is not None:
            # A later handle of the job may have brought the configuration.
            counts, self._config = job.counts, job.known.config
        config, known = self._config, self._steps()
        steps: dict[str, StepConfiguration | None] = dict.fromkeys(known)
        if config is not None:
            steps = {step.tag: step for step in config.step_configurations}
        return JobSnapshot(
            provider_job_id=self._id,
            tag=config.tag if config else "",
            name=config.name if config else self._id,
            status=self._progress.status,
            percent=self._progress.percent,
            steps=tuple(
                self._step(tag, step, known.get(tag, _NO_PROGRESS), counts.get(tag), at)
                for tag, step in steps.items()
            ),
            seconds=at - self._began_at,
        )

    def _steps(self) -> Mapping[str, StepProgress]:
        # A copy: threads of the job may change the dict during an iteration.
        return dict(self._progress.steps)

    def _step(
        self,
        tag: str,
        configured: "StepConfiguration | None",
        known: StepProgress,
        count: "UnitCount | None",
        at: float,
    ) -> StepSnapshot:
        status, name = self._status(tag, known), configured.name if configured else tag
        if status in ("pending", "not_run"):
            return StepSnapshot(
                tag=tag,
                name=name,
                status=status,
                fraction=known.fraction,
                attempts=known.attempts,
            )
        counts = _Counts.of(known, count)
        self._note_time(tag, status, at)
        meter = self._rates.setdefault(tag, RateMeter())
        if status == "running":
            meter.add(at, counts.worked)
        is_working = status in _WORKING
        rate = meter.rate if is_working else None
        is_settled = status in ("done", "skipped")
        return StepSnapshot(
            tag=tag,
            name=name,
            status=status,
            fraction=1.0 if is_settled else counts.fraction,
            completed=counts.completed,
            total=counts.total,
            rate=rate if counts.completed is not None else None,
            seconds_left=counts.seconds_left(rate),
            seconds=None if is_working else self._spent.get(tag),
            attempts=known.attempts,
            percent=self.percents.get(tag),
            units=configured.units if configured else None,
        )

    def _status(self, tag: str, known: StepProgress) -> str:
        if known.status == "waiting" and self._progress.status in ALIVE:
            return "waiting"
        return self._progress.shown_status(tag)

    def _note_time(self, tag: str, status: str, at: float) -> None:
        if status in _WORKING:
            self._began.setdefault(tag, at)
        elif tag in self._began:
            self._spent[tag] = at - self._began.pop(tag)


@dataclass(frozen=True, slots=True)
class _Counts:
    """Counts of a step.

    Attributes:
        completed: Units done; None if the step does not count.
        total: Units in all; None if unknown.
        fraction: Share done, at least the reported share.
        worked: Work of this run alone, in units or as a share.
    """

    completed: float | None
    total: float | None
    fraction: float
    worked: float

    @classmethod
    def of(cls, known: StepProgress, count: "UnitCount | None") -> "_Counts":
        """Return the counts of a step, from `count` or else from its latest report."""
        completed, total, resumed = known.completed, known.total, 0.0
        if count is not None and (count.completed or count.total is not None):
            completed, total = count.completed, count.total
            resumed = count.resumed
        fraction = known.fraction
        if completed is not None and total:
            fraction = max(fraction, min(completed / total, 1.0))
        worked = fraction if completed is None else completed - resumed
        return cls(completed, total, fraction, worked)

    def seconds_left(self, rate: float | None) -> float | None:
        """Return the remaining time at a rate; None if unknown."""
        if self.completed is None:
            return seconds_left(rate, self.fraction, 1.0)
        return seconds_left(rate, self.completed, self.total)
