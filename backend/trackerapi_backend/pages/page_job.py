"""Job on the customer's page: its steps, its message, and the times of its reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trackerapi_backend.instants import to_micros
from trackerapi_backend.projection.job import shown_status
from trackerapi_backend.projection.pauses import PAUSE
from trackerapi_backend.projection.statuses import ENDED, StepStatus
from trackerapi_backend.projection.step import (
    CLOCK_TOLERANCE,
    StepState,
    shown_instant,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from markupsafe import Markup

    from trackerapi_backend.pages.configured_texts import ConfiguredTexts
    from trackerapi_backend.pages.formats import Formats
    from trackerapi_backend.pages.freshness import Bounds
    from trackerapi_backend.projection.job import JobState
    from trackerapi_backend.projection.step import Key

_MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class PageStep:
    """A configured step and its progress.

    Attributes:
        tag: Tag of the step, which the page does not show.
        units: Name of the counted units; None without a name.
        number: Position of the step in the configuration, from 1.
        state: State from the events of the step.
        status: Status to show, which also depends on the job.
    """

    tag: str
    name: str
    units: str | None
    number: int
    state: StepState
    status: StepStatus

    def count_texts(self, formats: Formats) -> tuple[Markup | None, Markup | None]:
        """Return the completed units and the total as texts; None for unknown numbers.

        The units follow the last number, as in `412 of 1,840 images`.
        """
        completed, total = self.state.completed, self.state.total
        if total:
            done = formats.counted(completed or 0, None)
            return done, formats.counted(total, self.units)
        if completed is None:
            return None, None
        return formats.counted(completed, self.units), None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageJob:
    """A job with everything that its customer may read.

    Attributes:
        provider: Name of the provider.
        messages: Messages of the events from `message_ids()`, by event id.
        bounds: Ages of the newest report from which the job is quiet and silent.
    """

    state: JobState
    steps: Sequence[PageStep]
    provider: str
    messages: Mapping[bytes, str]
    bounds: Bounds

    @property
    def message(self) -> str | None:
        """Message of the event that gave the job its status; None without a message."""
        return self._message_of(self.state.changed_key)

    def message_of_attempt(self, step: PageStep) -> str | None:
        """Return the message about the failed attempt of a step that waits."""
        return self._message_of(step.state.waiting_key)

    def _message_of(self, key: Key | None) -> str | None:
        message = None if key is None else self.messages.get(key[1])
        return message if message and not message.isspace() else None

    def steps_with(self, status: StepStatus) -> list[PageStep]:
        """Return the steps that are shown with a status."""
        return [step for step in self.steps if step.status is status]

    def steps_with_failed_units(self) -> list[PageStep]:
        """Return the steps that have reported failed units."""
        return [step for step in self.steps if step.state.failed]

    @property
    def remark_count(self) -> int:
        """Number of skipped steps, plus the number of steps with failed units."""
        skipped = self.steps_with(StepStatus.SKIPPED)
        return len(skipped) + len(self.steps_with_failed_units())

    @property
    def changed_at(self) -> int | None:
        """Time to show for the event that gave the job its status."""
        if self.state.changed_key is None:
            return None
        at = self.state.changed_key[0]
        return shown_instant(at, self.state.last_event_at or at)

    @property
    def last_at(self) -> int | None:
        """Time to show for the newest report; None without a report."""
        return _last_at(self.state)

    @property
    def offline_times(self) -> tuple[int, int] | None:
        """Begin and end of the time in which the job worked on without a connection.

        Compares two spans of time for the reports since the latest pause: from their
        times on the clock of the job, and from their receipts. None unless the first
        span is longer, so a slow clock alone gives None.
        """
        state, pause = self.state, self.state.pause
        if pause is None or state.last_occurred_at is None:
            return None
        received = (state.last_event_at or pause.ended_at) - pause.ended_at
        worked_on = state.last_occurred_at - pause.first_at - received
        since = shown_instant(pause.first_at, pause.ended_at)
        is_shown = worked_on > PAUSE and since < pause.ended_at
        return (since, pause.ended_at) if is_shown else None

    @property
    def is_reopened(self) -> bool:
        """Whether a running job has ended or paused before.

        False if the clock of the job is ahead: times of receipt then replace some times
        of the job, so that the times of two statuses cannot be compared.
        """
        state, changed = self.state, self.changed_at
        last = state.last_occurred_at
        if changed is None or last is None or state.started_at is None:
            return False
        is_ahead = last - (state.last_event_at or last) > CLOCK_TOLERANCE
        return not is_ahead and changed > state.started_at

    @property
    def duration_seconds(self) -> int | None:
        """Time from the begin to the end of the job; None before the end."""
        started, finished = self.state.started_at, self.state.finished_at
        if started is None or finished is None:
            return None
        return max(0, finished - started) // _MICROS

    def age_seconds(self, now: datetime) -> int | None:
        """Return the age of the newest report; None without a report."""
        return age_seconds(self.state, now)


def age_seconds(state: JobState, now: datetime) -> int | None:
    """Return the age of the newest report of a job; None without a report."""
    at = _last_at(state)
    return None if at is None else max(0, to_micros(now) - at) // _MICROS


def _last_at(state: JobState) -> int | None:
    at = state.last_occurred_at
    return None if at is None else shown_instant(at, state.last_event_at or at)


def message_ids(state: JobState, steps: Iterable[PageStep]) -> list[bytes]:
    """Return the ids of the events whose messages a page quotes beside the news.

    The news has only the latest messages, but the message about a failure may be older.
    """
    keys = [step.state.waiting_key for step in steps]
    if state.status in ENDED:
        keys.append(state.changed_key)
    return [key[1] for key in keys if key is not None]


def steps_of(
    job: JobState, document: Mapping[str, Any] | None, texts: ConfiguredTexts
) -> list[PageStep]:
    """Return the configured steps of a job; none without a configuration."""
    configured = document["step_configurations"] if document else []
    return [
        PageStep(
            step["tag"],
            texts.step_name(step),
            texts.units(step),
            number,
            state := job.steps.get(step["tag"], StepState()),
            shown_status(job, state),
        )
        for number, step in enumerate(configured, start=1)
    ]
