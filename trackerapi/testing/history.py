"""History of a recorded job: state folded from its events, as backend answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from trackerapi.events.event import Event, event_members
from trackerapi.events.projection import NOT_ENDED, SETTLED, JobProgress, meaning
from trackerapi.models import Job, JobEvent, JobStep
from trackerapi.testing.store import JobRecord, time_of

BEGINNING: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Creation time of a job without a recorded creation."""


@dataclass(slots=True)
class Times:
    """Begin and end of a job or step; None until the begin or end is known."""

    started_at: datetime | None = None
    finished_at: datetime | None = None

    def note(self, at: datetime, *, has_begun: bool, is_over: bool) -> None:
        """Update the times from the state after an event."""
        if has_begun and self.started_at is None:
            self.started_at = at
        self.finished_at = (self.finished_at or at) if is_over else None


class JobHistory:
    """Events of one job, folded by the rules of the backend.

    Args:
        record: Creation and events of the job.

    Attributes:
        document: Configuration of the job; None without a configuration.
        progress: Status and percent of the job and its steps.
    """

    def __init__(self, record: JobRecord) -> None:
        self.record, self._creation = record, record.creation or {}
        self.document: Mapping[str, Any] | None = self._creation.get("configuration")
        points = {step["tag"]: step["points"] for step in self.steps}
        self.progress = JobProgress(
            points if self.document is not None else None,
            is_explicit=self.finish == "explicit",
        )
        self._times = Times()
        self._step_times = {tag: Times() for tag in points}
        for event in record.events:
            self._fold(event)

    @property
    def steps(self) -> list[dict[str, Any]]:
        """Steps of the configuration; empty without a configuration."""
        return list(self.document["step_configurations"]) if self.document else []

    @property
    def finish(self) -> str:
        """Finish mode of the job: auto or explicit."""
        return str(self._creation.get("finish", "auto"))

    @property
    def customer_id(self) -> int | None:
        """Customer of the job; None if the job was not created."""
        return self._creation.get("customer_id")

    @property
    def tag(self) -> str | None:
        """Tag of the configuration; None if the job was not created."""
        return self._creation.get("tag")

    @property
    def name(self) -> str:
        """Display name of the job."""
        return str(self.document["name"] if self.document else self.tag or "")

    def texts(self, language: str | None) -> Mapping[str, Any]:
        """Return the texts of the configuration in a language; empty without texts.

        Without texts in `de`, the first texts in a regional form such as `de-AT` count.
        """
        texts: Mapping[str, Mapping[str, Any]] = (self.document or {}).get("texts", {})
        regional = (tag for tag in texts if tag.startswith(f"{language}-"))
        tag = language if language in texts else next(regional, None)
        return {} if tag is None else texts[tag]

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Metadata of the creation."""
        return self._creation.get("metadata") or {}

    @property
    def title(self) -> str | None:
        """Name of this job for the customer; None without a title."""
        return self._creation.get("title")

    @property
    def reference(self) -> str | None:
        """Text that the customer quotes; None without a reference."""
        return self._creation.get("reference")

    @property
    def done(self) -> list[str]:
        """Tags of the steps that are done, in the order of their ends."""
        events = self.record.events
        tags = [e.tag for e in events if e.tag and meaning(e.kind, e.tag) == "step"]
        known = [step["tag"] for step in self.steps]
        return [
            tag
            for tag in dict.fromkeys(tags)
            if self.document is None
            or (tag in known and self.progress.shown_status(tag) == "done")
        ]

    def as_answer(self) -> Job:
        """Return the job as the backend would answer."""
        events, progress = self.record.events, self.progress
        last = max((time_of(event) for event in events), default=None)
        created_at = self._creation.get("created_at")
        return Job(
            id=self.record.number,
            provider_job_id=self.record.provider_job_id,
            customer_id=self.customer_id or 0,
            tag=self.tag or "",
            name=self.name,
            configuration_id=None if self.document is None else 1,
            finish=self.finish,
            status=progress.status,
            percent=progress.percent,
            steps=tuple(map(self._step_answer, self.steps)),
            metadata=self.metadata,
            event_count=len(events),
            created_at=datetime.fromisoformat(created_at) if created_at else BEGINNING,
            started_at=self._times.started_at,
            finished_at=self._times.finished_at,
            last_event_at=last,
            last_occurred_at=last,
            version=len(events) + 1,
            title=self.title,
            reference=self.reference,
        )

    def event_answers(self) -> list[JobEvent]:
        """Return the events as the backend would answer."""
        return [
            _event_answer(event, sequence)
            for sequence, event in enumerate(self.record.events, 1)
        ]

    def _step_answer(self, step: Mapping[str, Any]) -> JobStep:
        tag = step["tag"]
        known, times = self.progress.step(tag), self._step_times[tag]
        return JobStep(
            tag=tag,
            name=step["name"],
            points=step["points"],
            status=self.progress.shown_status(tag),
            fraction=known.fraction,
            completed=known.completed,
            total=known.total,
            attempts=known.attempts,
            started_at=times.started_at,
            finished_at=times.finished_at,
            units=step.get("units"),
            failed=known.failed,
            max_attempts=known.max_attempts,
        )

    def _fold(self, event: Event) -> None:
        self.progress.take(event.kind, event.tag, event_members(event))
        at, status = time_of(event), self.progress.status
        self._times.note(
            at,
            has_begun=status not in ("pending", "cancelled", "interrupted"),
            is_over=status not in NOT_ENDED,
        )
        times = self._step_times.get(event.tag or "")
        if times is not None:
            step = self.progress.step(event.tag or "")
            is_over = step.status in SETTLED or step.status == "failed"
            times.note(at, has_begun=step.attempts > 0, is_over=is_over)


def _event_answer(event: Event, sequence: int) -> JobEvent:
    at = time_of(event)
    return JobEvent(
        event_id=event.event_id,
        sequence=sequence,
        provider_job_id=event.provider_job_id,
        kind=event.kind,
        tag=event.tag,
        event_metadata=event.metadata or {},
        occurred_at=at,
        received_at=at,
        completed=event.completed,
        total=event.total,
        fraction=event.fraction,
        part=event.part,
        retrying=event.retrying,
        failed=event.failed,
        max_attempts=event.max_attempts,
        message=event.message,
        detail=event.detail,
    )
