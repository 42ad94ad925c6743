"""What is seen of a job: its handle, read from time to time by who shows it.

A handle is held weakly, since with the last handle its delivery ends; what it has
reported so far can be seen after it is gone.
"""

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trackerapi.events.event import kind_of
from trackerapi.events.projection import ALIVE, StepProgress
from trackerapi.view.rate import Pace, seconds_left

if TYPE_CHECKING:
    from trackerapi.jobs.counting import UnitCount
    from trackerapi.jobs.sending import EventSender

_UNSEEN: Final = StepProgress()
_WORKING: Final = frozenset({"running", "waiting"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """A step as it is shown.

    Attributes:
        tag: Its tag.
        name: Its display name; the tag without a configuration.
        status: pending, running, waiting (for its next attempt), done, failed,
            skipped, cancelled or not_run.
        fraction: Share done, 0.0 to 1.0.
        completed: Units done; None when not counted.
        total: Units in all; None when not known.
        rate: Units a second; None when nobody can tell.
        seconds_left: How long the rest takes; None when nobody can tell.
        seconds: How long it ran in this process; None while it runs, or if it did not.
        attempts: Attempts begun.
        percent: How far the job was when the step got its status, 0 to 100; None if
            nobody has told, or without a configuration.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job as it is shown.

    Attributes:
        provider_job_id: The provider's id of it.
        tag: Tag of its configuration; empty without one.
        name: Display name of its configuration; the provider's id without one.
        status: pending, running, succeeded, failed, cancelled or interrupted.
        percent: What this process makes of it, 0 to 100; None without a configuration.
        steps: The steps, in the order of the configuration.
        seconds: How long it has been seen.
    """

    provider_job_id: str
    tag: str
    name: str
    status: str
    percent: float | None
    steps: tuple[StepView, ...]
    seconds: float


class Sight:
    """What is seen of one job; made in any thread, then used by one alone.

    Args:
        job: Handle of the job.
        tag: Step of the first event; None if it was about the job.
        at: Monotonic time in seconds.

    Attributes:
        before: Statuses that steps had before the first event.
        is_failed: Whether the job itself, not only a step, has told a failure.
        has_ended: Whether its end has been told; it may begin again.
        percents: How far the job was with the newest event of each step, by tag; set
            in the thread of the event.
    """

    def __init__(self, job: "EventSender", tag: str | None, at: float) -> None:
        self._job = weakref.ref(job)
        self._progress, self._config = job.progress, job.config
        self._id = job.provider_job_id
        self._heard: dict[str, StepProgress] = {}
        self._paces: dict[str, Pace] = {}
        self._began: dict[str, float] = {}
        self._spent: dict[str, float] = {}
        self._began_at = at
        self.before = {name: step.status for name, step in self._steps().items()}
        self.before.pop(tag or "", None)
        self.is_failed = self.has_ended = False
        self.percents: dict[str, float | None] = {}

    @property
    def is_gone(self) -> bool:
        """Whether nobody holds the handle any more."""
        return self._job() is None

    @property
    def is_over(self) -> bool:
        """Whether the job has ended; a step alone that failed does not end it."""
        status = self._progress.status
        return status not in ALIVE and (status != "failed" or self.is_failed)

    def hear(self, kind: str, tag: str | None) -> None:
        """Take note of an event that can change a status."""
        if kind == "error" and tag is None:
            self.is_failed = True
        elif self._progress.status in ALIVE:
            self.is_failed = self.has_ended = False
        if self._config is None:
            # Nobody else keeps the steps of a job without a configuration.
            if tag is not None and not kind_of(kind).is_of_job:
                self._heard.setdefault(tag, StepProgress()).take(kind, {})
            elif self._progress.status == "interrupted":
                for step in self._heard.values():
                    step.interrupt()

    def look(self, at: float) -> JobView:
        """Return the job as it is at a monotonic time in seconds."""
        events = self._job()
        counts = events.counts if events is not None else {}
        config, known = self._config, self._steps()
        names = {tag: tag for tag in known}
        if config is not None:
            names = {step.tag: step.name for step in config.step_configurations}
        return JobView(
            provider_job_id=self._id,
            tag=config.tag if config else "",
            name=config.name if config else self._id,
            status=self._progress.status,
            percent=self._progress.percent,
            steps=tuple(
                self._look_at(tag, name, known.get(tag, _UNSEEN), counts.get(tag), at)
                for tag, name in names.items()
            ),
            seconds=at - self._began_at,
        )

    def _steps(self) -> Mapping[str, StepProgress]:
        # A copy: the job goes on meanwhile.
        return dict(self._heard if self._config is None else self._progress.steps)

    def _look_at(
        self,
        tag: str,
        name: str,
        known: StepProgress,
        count: "UnitCount | None",
        at: float,
    ) -> StepView:
        status = self._status(tag, known)
        if status in ("pending", "not_run"):
            return StepView(
                tag=tag,
                name=name,
                status=status,
                fraction=known.fraction,
                attempts=known.attempts,
            )
        counted = _Counted.of(known, count)
        self._note_time(tag, status, at)
        pace = self._paces.setdefault(tag, Pace())
        if status == "running":
            pace.see(at, counted.worked)
        is_working = status in _WORKING
        rate = pace.rate if is_working else None
        is_settled = status in ("done", "skipped")
        return StepView(
            tag=tag,
            name=name,
            status=status,
            fraction=1.0 if is_settled else counted.fraction,
            completed=counted.completed,
            total=counted.total,
            rate=rate if counted.completed is not None else None,
            seconds_left=counted.seconds_left(rate),
            seconds=None if is_working else self._spent.get(tag),
            attempts=known.attempts,
            percent=self.percents.get(tag),
        )

    def _status(self, tag: str, known: StepProgress) -> str:
        if known.status == "waiting" and self._progress.status in ALIVE:
            return "waiting"
        if self._config is None:
            is_stopped = self._progress.status == "cancelled"
            is_cut = is_stopped and known.status in _WORKING
            return "cancelled" if is_cut else known.status
        return self._progress.shown_status(tag)

    def _note_time(self, tag: str, status: str, at: float) -> None:
        if status in _WORKING:
            self._began.setdefault(tag, at)
        elif tag in self._began:
            self._spent[tag] = at - self._began.pop(tag)


@dataclass(frozen=True, slots=True)
class _Counted:
    """What a step has counted.

    Attributes:
        completed: Units done; None when not counted.
        total: Units in all; None when not known.
        fraction: Share done, never below what was reported.
        worked: What this run has done, in units or as a share.
    """

    completed: float | None
    total: float | None
    fraction: float
    worked: float

    @classmethod
    def of(cls, known: StepProgress, count: "UnitCount | None") -> "_Counted":
        """Read a step: its count if that has begun, else its last report."""
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
        """Return how long the rest takes at a rate."""
        if self.completed is None:
            return seconds_left(rate, self.fraction, 1.0)
        return seconds_left(rate, self.completed, self.total)
