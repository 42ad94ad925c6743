"""Snapshots: the state of a job as JSON values, without loss.

The format is compact, because each batch of events writes a snapshot. Times are whole
microseconds. A step is a list of values, without the last two values (the counts) if
the step has no counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trackerapi_backend.instants import from_micros, to_micros
from trackerapi_backend.projection.job import JobState
from trackerapi_backend.projection.statuses import JobStatus, StepStatus
from trackerapi_backend.projection.step import StepState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


_FORMAT_VERSION = 3
"""Number of the format; raise it with each change of the fields that a fold needs."""
_LENGTH_WITHOUT_COUNTS = 8


def is_current(document: Mapping[str, Any]) -> bool:
    """Return whether further events may be folded onto a snapshot.

    A snapshot of an earlier release can be shown, but may lack fields that a fold
    needs. In this case the next event folds the state from all events again.
    """
    return document.get("form") == _FORMAT_VERSION


def to_document(state: JobState) -> dict[str, Any]:
    """Return the state as JSON values, for `from_document()`."""
    return {
        "form": _FORMAT_VERSION,
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
    """Return the state of a snapshot that `to_document()` has made."""
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
    has_counts = bool(step.counts) or step.smallest_total is not None
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
    return [*row, step.smallest_total, step.counts] if has_counts else row


def _step_from(row: Sequence[Any]) -> StepState:
    smallest_total, counts = row[_LENGTH_WITHOUT_COUNTS:] or (None, {})
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
        smallest_total=smallest_total,
    )


def _micros(instant: datetime | None) -> int | None:
    return None if instant is None else to_micros(instant)


def _instant(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
