"""The state of a job as JSON values, and back without loss.

Times are whole microseconds and each step is a row, because a snapshot is written
with every batch of events; the counts of its parts follow only where there are any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trackerapi_backend.instants import from_micros, to_micros
from trackerapi_backend.projection.job import JobState, JobStatus
from trackerapi_backend.projection.step import StepState, StepStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


# Raised with each change of what a state remembers of its events.
_FORM = 3
_PLAIN_LENGTH = 8


def is_current(document: Mapping[str, Any]) -> bool:
    """Return whether more events may be folded onto a snapshot.

    One that an earlier release wrote shows the state as it was but lacks what later
    events may need; it has to be made anew from all events.
    """
    return document.get("form") == _FORM


def to_document(state: JobState) -> dict[str, Any]:
    """Return the state as JSON values, for `from_document()`."""
    return {
        "form": _FORM,
        "status": state.status.value,
        "has_succeeded": state.has_succeeded,
        "steps": {tag: _step_row(step) for tag, step in state.steps.items()},
        "started_at": _micros(state.started_at),
        "finished_at": _micros(state.finished_at),
        "event_count": state.event_count,
        "last_occurred_at": _micros(state.last_occurred_at),
        "last_event_at": _micros(state.last_event_at),
        "last_key": state.last_key
        and [to_micros(state.last_key[0]), state.last_key[1].hex()],
    }


def from_document(document: Mapping[str, Any]) -> JobState:
    """Return the state that `to_document()` wrote."""
    last_key = document["last_key"]
    return JobState(
        status=JobStatus(document["status"]),
        has_succeeded=document["has_succeeded"],
        steps={tag: _step_from(row) for tag, row in document["steps"].items()},
        started_at=_instant(document["started_at"]),
        finished_at=_instant(document["finished_at"]),
        event_count=document["event_count"],
        last_occurred_at=_instant(document["last_occurred_at"]),
        last_event_at=_instant(document["last_event_at"]),
        last_key=last_key and (from_micros(last_key[0]), bytes.fromhex(last_key[1])),
    )


def _step_row(step: StepState) -> list[Any]:
    has_counts = bool(step.counts) or step.least_total is not None
    row = [
        step.status.value,
        step.fraction,
        step.completed,
        step.total,
        step.attempts,
        step.attempt_is_open,
        _micros(step.started_at),
        _micros(step.finished_at),
    ]
    return [*row, step.least_total, step.counts] if has_counts else row


def _step_from(row: Sequence[Any]) -> StepState:
    least_total, counts = row[_PLAIN_LENGTH:] or (None, {})
    return StepState(
        status=StepStatus(row[0]),
        fraction=row[1],
        completed=row[2],
        total=row[3],
        attempts=row[4],
        attempt_is_open=row[5],
        started_at=_instant(row[6]),
        finished_at=_instant(row[7]),
        counts=dict(counts),
        least_total=least_total,
    )


def _micros(instant: datetime | None) -> int | None:
    return None if instant is None else to_micros(instant)


def _instant(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
