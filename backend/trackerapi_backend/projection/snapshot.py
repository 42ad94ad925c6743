"""Snapshots: the state of a job as JSON values, without loss.

The format is compact, because each batch of events writes a snapshot. A step is a list
of values. Three groups at its end may be missing: the counts, `failed_counts` with
`max_attempts`, and `waiting_key`. A group is present if a later group is present.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trackerapi_backend.projection.job import JobState
from trackerapi_backend.projection.pauses import Pause
from trackerapi_backend.projection.statuses import JobStatus, StepStatus
from trackerapi_backend.projection.step import Key, StepState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_FORMAT_VERSION = 5
"""Number of the format; increase it when the fields that a fold needs change."""
_FORMAT_WITHOUT_REPORTS = 4
"""Number of the format whose steps lack the number and the times of reports."""
_LENGTH_WITHOUT_COUNTS = 10
_LENGTH_WITH_COUNTS = 15
_LENGTH_WITH_ATTEMPTS = 17


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
        "started_at": state.started_at,
        "finished_at": state.finished_at,
        "event_count": state.event_count,
        "last_occurred_at": state.last_occurred_at,
        "last_event_at": state.last_event_at,
        "last_key": _key_row(state.last_key),
        "changed_key": _key_row(state.changed_key),
        "pause": state.pause,
    }


def from_document(document: Mapping[str, Any]) -> JobState:
    """Return the state of a snapshot that `to_document()` has made."""
    step_from = _step_reader(document)
    return JobState(
        status=JobStatus(document["status"]),
        has_succeeded=document["has_succeeded"],
        steps={tag: step_from(row) for tag, row in document["steps"].items()},
        started_at=document["started_at"],
        finished_at=document["finished_at"],
        event_count=document["event_count"],
        last_occurred_at=document["last_occurred_at"],
        last_event_at=document["last_event_at"],
        last_key=_key(document["last_key"]),
        changed_key=_key(document.get("changed_key")),
        pause=None if (pause := document.get("pause")) is None else Pause(*pause),
    )


def find_step(document: Mapping[str, Any], tag: str) -> StepState | None:
    """Return the state of one step of a snapshot; None for a step without events."""
    row = document["steps"].get(tag)
    return None if row is None else _step_reader(document)(row)


def _step_reader(document: Mapping[str, Any]) -> Callable[[Sequence[Any]], StepState]:
    return _STEP_READERS.get(document.get("form", 1), _earlier_step_from)


def _step_row(step: StepState) -> list[Any]:
    row: list[Any] = [
        step.status.value,
        step.largest_share,
        step.attempts,
        _key_row(step.opened_key),
        step.started_at,
        step.finished_at,
        _key_row(step.settled_key),
        step.report_count,
        step.first_report_at,
        step.last_report_at,
    ]
    is_waiting = step.waiting_key is not None
    has_more = bool(step.failed_counts) or step.max_attempts is not None or is_waiting
    if step.newest_key is None and not has_more:
        return row
    row += [
        _key_row(step.newest_key),
        step.newest_completed,
        step.newest_total,
        step.smallest_total,
        step.counts,
    ]
    if has_more:
        row += [step.failed_counts, step.max_attempts]
    return [*row, _key_row(step.waiting_key)] if is_waiting else row


def _step_from(row: Sequence[Any]) -> StepState:
    step = StepState(
        status=StepStatus(row[0]),
        largest_share=row[1],
        attempts=row[2],
        opened_key=_key(row[3]),
        started_at=row[4],
        finished_at=row[5],
        settled_key=_key(row[6]),
        report_count=row[7],
        first_report_at=row[8],
        last_report_at=row[9],
    )
    if len(row) > _LENGTH_WITHOUT_COUNTS:
        key, step.newest_completed, step.newest_total, step.smallest_total = row[10:14]
        step.newest_key, step.counts = _key(key), dict(row[14])
    if len(row) > _LENGTH_WITH_COUNTS:
        step.failed_counts, step.max_attempts = dict(row[15]), row[16]
    if len(row) > _LENGTH_WITH_ATTEMPTS:
        step.waiting_key = _key(row[17])
    return step


def _step_without_reports_from(row: Sequence[Any]) -> StepState:
    """Return the state of a step from a row without number and times of reports."""
    return _step_from([*row[:7], 0, None, None, *row[7:]])


def _earlier_step_from(row: Sequence[Any]) -> StepState:
    """Return the state of a step for readers, from a row of an earlier format."""
    return StepState(
        status=StepStatus(row[0]),
        largest_share=row[1],
        newest_completed=row[2],
        newest_total=row[3],
        attempts=row[4],
        started_at=row[6],
        finished_at=row[7],
    )


_STEP_READERS = {
    _FORMAT_VERSION: _step_from,
    _FORMAT_WITHOUT_REPORTS: _step_without_reports_from,
}


def _key_row(key: Key | None) -> list[Any] | None:
    return None if key is None else [key[0], key[1].hex()]


def _key(row: Sequence[Any] | None) -> Key | None:
    return None if row is None else (row[0], bytes.fromhex(row[1]))
