"""What a handle knows of its job before this process reports anything."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from trackerapi.events.projection import JobProgress, meaning
from trackerapi.process.clock import utc_now
from trackerapi.times import LAST_MOMENT, as_microseconds

if TYPE_CHECKING:
    from trackerapi.config.job_config import JobConfig
    from trackerapi.models import Job

MOST_AHEAD: Final = timedelta(days=366)
"""How far a time may be ahead of its arrival; beyond, a clock was wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """What a handle knows of its job when it is made.

    Attributes:
        config: The job's configuration; None if this process does not know it.
        known: The job as the backend answered it at creation; None without that.
        finish: How the job finishes: auto or explicit.
        part: Name under which this place counts; None where it counts alone.
        on_sigterm: Kind to report when SIGTERM ends the process: interrupt or cancel;
            None for a handle of a job that somebody else has begun.
    """

    config: "JobConfig | None" = None
    known: "Job | None" = None
    finish: str = "auto"
    part: str | None = None
    on_sigterm: str | None = None

    @property
    def last_moment(self) -> datetime | None:
        """Time of the job's latest event; None for none.

        A time more than a year ahead of its arrival is passed over, as the backend
        does: new events, which come after the last one, would be as far ahead.
        """
        last = self.known.last_occurred_at if self.known else None
        if self.known is None or last is None:
            return None
        arrived = self.known.last_event_at or utc_now()
        return arrived if last - arrived > MOST_AHEAD else last

    @property
    def first_moment(self) -> int:
        """Earliest time of new events, in microseconds since 1970; 0 for any."""
        last = self.last_moment
        # Behind it, not with it: a clock that is behind gives ids that are too.
        return min(as_microseconds(last) + 1, LAST_MOMENT) if last else 0


NO_FACTS: Final = JobFacts()


def known_progress(facts: JobFacts) -> JobProgress:
    """Return how far a job was when the backend answered."""
    points, known = None, facts.known
    if facts.config is not None:
        points = {step.tag: step.points for step in facts.config.step_configurations}
    is_explicit = (known.finish if known else facts.finish) == "explicit"
    progress = JobProgress(points, is_explicit=is_explicit)
    for step in known.steps if known else ():
        progress.recall(step.tag, step.status, step.fraction, step.attempts)
        if known and known.status == "interrupted":
            progress.step(step.tag).interrupt()
    return progress


def recalled_progress(
    facts: JobFacts, events: Iterable[Mapping[str, Any]]
) -> JobProgress:
    """Return how far a job is with events that the backend did not have yet.

    Args:
        facts: What was known when the handle was made.
        events: Members of the job's events, in their order.
    """
    progress = known_progress(facts)
    last = facts.last_moment
    for event in events:
        tag = event.get("tag")
        kind = meaning(event["kind"], tag)
        is_news = last is None or last < datetime.fromisoformat(event["occurred_at"])
        # Another place may have been later: what is done stays done whatever follows.
        if is_news or (_settles(kind) and not progress.are_settled([tag or ""])):
            progress.take(kind, tag, event)
    return progress


def _settles(kind: str) -> bool:
    return kind in ("step", "skip")
