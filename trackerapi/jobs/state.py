"""State of a job as this process knows it; all handles of the job share the state.

A process may have several handles of one job, from `create_job()`, `job()` and
`attach()`, also of several trackers. An event that one handle reports changes the
statuses that each of them shows.
"""

import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from trackerapi.events.event import kind_of, kinds_with
from trackerapi.events.projection import JobProgress, meaning, settles_step
from trackerapi.jobs.counting import COUNTING
from trackerapi.process.clock import utc_now
from trackerapi.times import LAST_MOMENT, as_microseconds

if TYPE_CHECKING:
    from trackerapi.config.job_config import JobConfig
    from trackerapi.jobs.counting import UnitCount
    from trackerapi.models import Job

MAX_AHEAD: Final = timedelta(days=366)
"""Maximum lead of an event's own time over its arrival. A larger lead means a wrong
clock."""

MAX_OPEN_JOBS: Final = 1000
"""Maximum number of jobs without a handle whose open steps a process remembers."""

_CLOSING: Final = kinds_with("closes_attempt")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownJob:
    """Facts about a job at the time when its handle is made.

    Attributes:
        provider_job_id: The provider's id of the job.
        config: The job's configuration; None if this process has not loaded it.
        answer: Job in the backend's answer to its creation; None without an answer.
        finish: `auto`: the job succeeds once all steps are done or skipped;
            `explicit`: only a `complete` of the job makes it succeed. None if another
            process has created the job.
        part: Name under which an attached handle counts its share of a step: the
            backend adds up the counts of all parts. None for any other handle.
        on_sigterm: Kind of the event when SIGTERM ends the process: interrupt or
            cancel. None for a handle of a job that another process has created.
    """

    provider_job_id: str
    config: "JobConfig | None" = None
    answer: "Job | None" = None
    finish: str | None = None
    part: str | None = None
    on_sigterm: str | None = None

    @property
    def last_moment(self) -> datetime | None:
        """Time of the job's latest event at the backend; None without events.

        A time more than a year after the arrival of the event is replaced by the
        arrival, as in the backend. New events get later times than the latest event, so
        the wrong clock of one event would affect all later events.
        """
        last = self.answer.last_occurred_at if self.answer else None
        if self.answer is None or last is None:
            return None
        arrived = self.answer.last_event_at or utc_now()
        return arrived if last - arrived > MAX_AHEAD else last

    @property
    def first_moment(self) -> int:
        """Earliest time of new events, in microseconds since 1970; 0 for no limit."""
        last = self.last_moment
        # One microsecond after the latest event: events of equal time sort by id, and a
        # clock that is behind makes smaller ids.
        return min(as_microseconds(last) + 1, LAST_MOMENT) if last else 0

    @property
    def is_explicit(self) -> bool:
        """Whether only a `complete` of the job makes it succeed."""
        return (self.answer.finish if self.answer else self.finish) == "explicit"

    @property
    def points(self) -> dict[str, int] | None:
        """Points by step tag; None for a job without a known configuration."""
        if self.config is not None:
            return {step.tag: step.points for step in self.config.step_configurations}
        steps = self.answer.steps if self.answer else ()
        return {step.tag: step.points for step in steps} or None

    def merge(self, newer: "KnownJob") -> "KnownJob":
        """Return these facts, updated by the facts of a newer handle."""
        # Only an answer proves that the job has the configuration of the handle.
        is_proved = self.config is None or newer.answer is not None
        return replace(
            self,
            config=(newer.config if is_proved else None) or self.config,
            answer=newer.answer or self.answer,
            finish=newer.finish or self.finish,
        )

    def progress(self) -> JobProgress:
        """Return the progress of the job in the backend's answer.

        Without an answer, the job and all steps are pending.
        """
        progress = JobProgress(self.points, is_explicit=self.is_explicit)
        answer = self.answer
        if answer is None:
            return progress
        for step in answer.steps:
            progress.recall(step.tag, step.status, step.fraction, step.attempts)
            if answer.status == "interrupted":
                progress.step(step.tag).interrupt()
        progress.recall_job(answer.status, answer.percent)
        return progress

    def progress_after(self, events: Iterable[Mapping[str, Any]]) -> JobProgress:
        """Return the progress of the job after events that were not delivered yet.

        Args:
            events: The job's events as JSON objects, in the order of their calls.
        """
        progress = self.progress()
        last = self.last_moment
        for event in events:
            tag = event.get("tag")
            kind = meaning(event["kind"], tag)
            is_news = last is None or last < datetime.fromisoformat(
                event["occurred_at"]
            )
            # The latest event at the backend may come from another process. So an
            # older `step` or `skip` still counts, unless the step is done or skipped.
            is_unsettled = not progress.are_settled([tag or ""])
            if is_news or (settles_step(kind) and is_unsettled):
                progress.take(kind, tag, event)
        return progress


class JobState:
    """State of one job, from the reports of this process and from earlier reports.

    Safe to share between threads.

    Args:
        known: Facts from the first handle of the job.
        open_steps: Tags of the steps that this process has begun and not ended.

    Attributes:
        known: Facts about the job from all handles.
        progress: Progress of the job and its steps.
        open_steps: Tags of the steps that this process has begun and not ended.
        ended_as: Status that the latest end of the job in this process has reported;
            None before, and since the begin of a block of the job.
        counts: Unit counts of the steps with a handle in this process, by tag.
    """

    def __init__(self, known: KnownJob, open_steps: set[str]) -> None:
        self.known, self.open_steps = known, open_steps
        self.progress = known.progress()
        self.ended_as: str | None = None
        self.counts: dict[str, UnitCount] = {}
        self._reported: set[str | None] = set()

    def take(self, kind: str, tag: str | None, details: Mapping[str, Any]) -> None:
        """Fold an event of this process.

        Args:
            kind: Effective kind of the event; see `meaning()`.
            tag: Tag of the step; None for the job.
            details: Other members of the event.
        """
        self.progress.take(kind, tag, details)
        if tag is None:
            self._reported.add(None)
            self.ended_as = kind_of(kind).job_status or self.ended_as
            if self.progress.status == "interrupted":
                self.open_steps.clear()
            return
        if tag in self.progress.steps:
            self._reported.add(tag)
        if kind == "start":
            self.open_steps.add(tag)
        elif kind in _CLOSING:
            self.open_steps.discard(tag)

    def learn(self, known: KnownJob) -> None:
        """Add the facts of another handle."""
        self.known = self.known.merge(known)
        points = self.known.points
        self.progress.configure(points, is_explicit=self.known.is_explicit)
        if known.answer is not None:
            self.recall(())

    def recall(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Add the backend's answer and events of the outbox.

        Args:
            events: The job's events as JSON objects, in the order of their calls. They
                may include events of this process.
        """
        # Add the events to the progress, instead of replacing it: events of this
        # process that could not be written are in no file, and still count.
        self.progress.add_earlier(self.known.progress_after(events), self._reported)


class JobStates:
    """States of the jobs of one provider; safe to share between threads.

    The state of a job lives as long as its handles. Its open steps live longer: a
    script may drop the handle that has started a step.
    """

    def __init__(self) -> None:
        self._states: weakref.WeakValueDictionary[str, JobState] = (
            weakref.WeakValueDictionary()
        )
        self._open: dict[str, set[str]] = {}

    def join(self, known: KnownJob) -> JobState:
        """Return the state of a job, with the facts of a new handle."""
        # With the lock, two threads that make the first handles of a job get one state.
        # A forked child replaces this lock, so that no thread of the parent holds it.
        with COUNTING.lock:
            state = self._states.get(known.provider_job_id)
            if state is not None:
                state.learn(known)
                return state
            if len(self._open) >= MAX_OPEN_JOBS:
                self._forget_one()
            open_steps = self._open.setdefault(known.provider_job_id, set())
            state = JobState(known, open_steps)
            self._states[known.provider_job_id] = state
            return state

    def _forget_one(self) -> None:
        """Forget all jobs without open steps and handles, or else the oldest job."""
        ended = [
            job_id
            for job_id, steps in self._open.items()
            if not steps and job_id not in self._states
        ]
        for job_id in ended or list(self._open)[:1]:
            del self._open[job_id]
