"""Views of a recorded job for a test: `RecordedJob` and `CustomerView`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from trackerapi.events.event import Event
from trackerapi.testing.history import JobHistory
from trackerapi.testing.store import JobRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerStep:
    """A step as the customer sees it.

    Attributes:
        name: Display name of the step.
        status: pending, running, done, failed, skipped, cancelled or not_run.
        metadata: Newest value of each key with the audience `customer` in the
            configuration, by the name of the key in the language of the view.
    """

    name: str
    status: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerView:
    """The part of a job for the customer; the web page shows only the newest texts.

    Attributes:
        name: Display name of the configuration.
        title: Name of this job; None without a title.
        reference: Text that the customer quotes; None without a reference.
        status: pending, running, succeeded, failed, cancelled or interrupted.
        percent: 0.0 to 100.0; None without a configuration.
        steps: Steps, in the order of the configuration.
        texts: Messages, in the order in which they were reported.
    """

    name: str
    title: str | None
    reference: str | None
    status: str
    percent: float | None
    steps: list[CustomerStep]
    texts: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedJob:
    """Snapshot of a job, from its reports so far.

    Attributes:
        provider_job_id: The provider's id of the job.
        customer_id: Customer of the job; None if the test did not create the job.
        tag: Tag of the configuration; None if the test did not create the job.
        metadata: Metadata of the creation.
        title: Name of this job for the customer; None without a title.
        reference: Text that the customer quotes; None without a reference.
        status: pending, running, succeeded, failed, cancelled or interrupted.
        percent: 0.0 to 100.0, as the backend computes it; None without a
            configuration.
        steps: Status of each step of the configuration, by tag: pending, running, done,
            failed, skipped, cancelled or not_run.
        steps_done: Tags of the steps that are done, in the order of their ends.
        attempts: Number of attempts of each step, by tag.
        events: Events, in the order in which they happened. Of the progress events of
            a step, only the first, the last, and the newest before an event of another
            kind are kept.
    """

    provider_job_id: str
    customer_id: int | None
    tag: str | None
    metadata: Mapping[str, Any]
    title: str | None
    reference: str | None
    status: str
    percent: float | None
    steps: dict[str, str]
    steps_done: list[str]
    attempts: dict[str, int]
    events: list[Event]
    _history: JobHistory

    @classmethod
    def of(cls, record: JobRecord) -> Self:
        """Return the snapshot of a job from its records."""
        history = JobHistory(record)
        progress, tags = history.progress, [step["tag"] for step in history.steps]
        return cls(
            provider_job_id=record.provider_job_id,
            customer_id=history.customer_id,
            tag=history.tag,
            metadata=history.metadata,
            title=history.title,
            reference=history.reference,
            status=progress.status,
            percent=progress.percent,
            steps={tag: progress.shown_status(tag) for tag in tags},
            steps_done=history.done,
            attempts={tag: progress.step(tag).attempts for tag in tags},
            events=list(record.events),
            _history=history,
        )

    def __repr__(self) -> str:
        return (
            f"RecordedJob({self.provider_job_id!r}, status={self.status!r}, "
            f"percent={self.percent}, steps={self.steps}, "
            f"events={[_brief(event) for event in self.events[-20:]]})"
        )

    @property
    def finished(self) -> bool:
        """Whether the job has succeeded."""
        return self.status == "succeeded"

    def customer_view(self, language: str | None = None) -> CustomerView:
        """Return the part of the job that the customer can see.

        Args:
            language: Language of the page, such as `de`: names of job, steps and
                metadata come from `texts` of the configuration, as on the page. None
                uses the configured names.
        """
        texts = self._history.texts(language)
        steps = texts.get("steps", {})
        return CustomerView(
            name=texts.get("name", self._history.name),
            title=self.title,
            reference=self.reference,
            status=self.status,
            percent=self.percent,
            steps=[
                CustomerStep(
                    name=steps.get(step["tag"], {}).get("name", step["name"]),
                    status=self.steps[step["tag"]],
                    metadata=self._customer_metadata(step, texts.get("metadata", {})),
                )
                for step in self._history.steps
            ],
            texts=[event.message for event in self.events if event.message],
        )

    def _customer_metadata(
        self, step: Mapping[str, Any], names: Mapping[str, str]
    ) -> dict[str, Any]:
        newest: dict[str, Any] = {}
        for event in self.events:
            if event.tag == step["tag"]:
                newest.update(event.metadata or {})
        return {
            names.get(key["name"], key["name"]): newest[key["name"]]
            for key in step.get("metadata_configurations", ())
            if key.get("audience") == "customer" and newest.get(key["name"]) is not None
        }


def _brief(event: Event) -> str:
    return f"{event.kind} {event.tag}" if event.tag else event.kind
