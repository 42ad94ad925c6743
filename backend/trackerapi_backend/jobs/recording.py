"""Recording of events: each new event becomes a row and updates the state of its job.

An event with a stored `event_id` changes nothing: the stored event counts, even if the
repeated event has other content.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from trackerapi_backend.instants import to_micros
from trackerapi_backend.jobs.configurations import StepNames, points_of
from trackerapi_backend.jobs.customer_view import update_customer_view
from trackerapi_backend.problems import invalid
from trackerapi_backend.projection.job import Plan, advance, project
from trackerapi_backend.projection.kinds import PROGRESS
from trackerapi_backend.projection.snapshot import (
    from_document,
    is_current,
    to_document,
)
from trackerapi_backend.projection.step import Fact
from trackerapi_backend.requests.times import read_instant_or_now
from trackerapi_backend.store import events as stored_events
from trackerapi_backend.store import jobs as stored_jobs
from trackerapi_backend.store.documents import compute_once
from trackerapi_backend.store.schema import compact_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from trackerapi_backend.generated import models
    from trackerapi_backend.projection.job import JobState
    from trackerapi_backend.projection.step import Key

MAX_METADATA_BYTES = 8 * 1024
MAX_PARTS = 1000
"""Maximum number of parts that count towards one step: the state stores each part."""

_FACT_COLUMNS = tuple(field.name for field in fields(Fact))


class Outcome(StrEnum):
    """Outcome of recording one event."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    UNKNOWN_JOB = "unknown job"
    TOO_MANY_PARTS = "too many parts"


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Valid event that is not yet recorded.

    Attributes:
        values: Values of the row of the event by column, without `job_id` and
            `sequence`. The tag may be the display name of a step.
    """

    provider_job_id: str
    values: dict[str, Any]


def read_event(
    document: models.EventInput, *, now: datetime, line: int = 0
) -> NewEvent:
    """Return the event of a document that is valid by its schema.

    Args:
        document: Body or line of a body.
        now: Time of the request.
        line: Number of events before this event in its body. An event without
            `occurred_at` gets this number of microseconds after `now`, so that lines
            keep their order.

    Raises:
        Problem: If members contradict each other or the metadata is too large.
    """
    tag, name = document.get("tag"), document.get("name")
    if tag is not None and name is not None and tag != name:
        raise invalid("/name", "and /tag name different steps: send one of them")
    sent_id = document.get("event_id")
    return NewEvent(
        document["provider_job_id"],
        {
            "event_id": _new_event_id(now) if sent_id is None else UUID(sent_id).bytes,
            "kind": document["kind"],
            "tag": name if tag is None else tag,
            "event_metadata": metadata_text(
                document.get("event_metadata") or {}, "/event_metadata"
            ),
            "occurred_at": read_instant_or_now(
                document, "occurred_at", now=now + timedelta(microseconds=line)
            ),
            "received_at": now,
            "completed": _number(document, "completed"),
            "total": _number(document, "total"),
            "fraction": _number(document, "fraction"),
            "part": document.get("part"),
            "retrying": document.get("retrying", False),
            "message": document.get("message"),
            "detail": document.get("detail"),
        },
    )


def _number(document: Mapping[str, Any], member: str) -> float | None:
    # The columns store floats, so the state of a job needs floats too. An int would be
    # shown as 12, and as 12.0 after the state is folded again from the stored events.
    sent = document.get(member)
    return None if sent is None else float(sent)


def metadata_text(metadata: object, pointer: str) -> str:
    """Return the JSON text of metadata for the store.

    Raises:
        Problem: If the text has more than `MAX_METADATA_BYTES`.
    """
    text = compact_json(metadata)
    if len(text.encode()) > MAX_METADATA_BYTES:
        raise invalid(pointer, f"has more than {MAX_METADATA_BYTES} bytes as JSON")
    return text


def _new_event_id(now: datetime) -> bytes:
    """Return a UUIDv7: the milliseconds of the clock, then random bits."""
    # A clock before 1970 counts as 1970: `to_bytes()` raises for a negative number.
    milliseconds = max(0, to_micros(now) // 1000).to_bytes(6, "big")
    tail = bytearray(secrets.token_bytes(10))
    tail[0] = tail[0] & 0x0F | 0x70
    tail[2] = tail[2] & 0x3F | 0x80
    return milliseconds + bytes(tail)


def record_events(
    db: Connection,
    provider_id: int,
    events: Sequence[NewEvent],
    *,
    only_job_id: int | None = None,
) -> list[Outcome]:
    """Store new events and update the states of their jobs.

    Args:
        db: Connection in a transaction.
        provider_id: Provider of the jobs.
        events: Events of any jobs.
        only_job_id: Only job that the caller may report on; None for all jobs.

    Returns:
        Outcome of each event, in the order of `events`.
    """
    indexes: dict[str, list[int]] = {}
    for index, event in enumerate(events):
        indexes.setdefault(event.provider_job_id, []).append(index)
    outcomes = [Outcome.UNKNOWN_JOB] * len(events)
    for provider_job_id, of_job in indexes.items():
        job = stored_jobs.find_job_by_provider_job_id(db, provider_id, provider_job_id)
        if job is not None and only_job_id in (None, job.id):
            rows = [events[index].values for index in of_job]
            for index, outcome in zip(of_job, _record(db, job, rows), strict=True):
                outcomes[index] = outcome
    return outcomes


def _record(
    db: Connection, job: Row[Any], rows: Sequence[Mapping[str, Any]]
) -> list[Outcome]:
    """Store the events of one job; return their outcomes."""
    known = stored_events.find_known_event_ids(
        db, job.id, [row["event_id"] for row in rows]
    )
    names = compute_once(job.document, StepNames)
    state = from_document(job.state)
    parts: dict[str | None, set[str]] = {
        tag: step.counts.keys() - {""} for tag, step in state.steps.items()
    }
    fresh: list[dict[str, Any]] = []
    outcomes = []
    for row in rows:
        if row["event_id"] in known:
            outcomes.append(Outcome.DUPLICATE)
            continue
        tag = names.find_tag(row["tag"])
        if not _has_room_for(row, parts.setdefault(tag, set())):
            outcomes.append(Outcome.TOO_MANY_PARTS)
            continue
        known.add(row["event_id"])
        # The sequence number is unique: the state was read in this transaction, and
        # the writer runs one transaction at a time.
        sequence = state.event_count + len(fresh) + 1
        added = {
            "job_id": job.id,
            "sequence": sequence,
            "tag": tag,
        }
        fresh.append({**row, **added})
        outcomes.append(Outcome.STORED)
    if fresh:
        stored_events.add_events(db, fresh)
        update_customer_view(db, job.id, job.document, fresh)
        state = _advance_state(db, job, state, [_fact(row) for row in fresh])
        stored_jobs.save_state(db, job, state.status, to_document(state))
    return outcomes


def _has_room_for(row: Mapping[str, Any], parts: set[str]) -> bool:
    """Add the part of a counted event to `parts`; return False if `parts` is full.

    An event that counts no part always has room.

    Args:
        row: Row of a new event.
        parts: Names of the parts of its step.
    """
    part = row["part"]
    if part in parts or part is None:
        return True
    if row["kind"] != PROGRESS.name or row["completed"] is None:
        return True
    if len(parts) >= MAX_PARTS:
        return False
    parts.add(part)
    return True


def _advance_state(
    db: Connection, job: Row[Any], state: JobState, fresh: Sequence[Fact]
) -> JobState:
    """Return the state of a job after new events, which are stored already."""
    history = _StoredHistory(db, job.id)
    if not is_current(job.state):
        return project(plan_of(job), history.all_facts())
    return advance(plan_of(job), state, fresh, history)


class _StoredHistory:
    """Stored events of a job; see `History`."""

    def __init__(self, db: Connection, job_id: int) -> None:
        self._db, self._job_id = db, job_id

    def status_facts(self) -> Iterator[Fact]:
        return map(fact_of, stored_events.status_events(self._db, self._job_id))

    def next_progress(self, tag: str | None, after: Key | None) -> Fact | None:
        row = stored_events.find_next_progress(self._db, self._job_id, tag, after)
        return None if row is None else fact_of(row)

    def all_facts(self) -> Iterator[Fact]:
        return map(fact_of, stored_events.all_events(self._db, self._job_id))

    def progress_tags(self) -> Sequence[str]:
        return stored_events.list_progress_tags(self._db, self._job_id)


def plan_of(job: Row[Any]) -> Plan:
    """Return the plan of a job, from its configuration and its finish."""
    return Plan(
        points=compute_once(job.document, points_of),
        explicit_finish=job.finish == "explicit",
    )


def fact_of(row: Row[Any]) -> Fact:
    """Return the fact of a stored event for the projection."""
    return _fact(row._asdict())


def _fact(values: Mapping[str, Any]) -> Fact:
    return Fact(**{name: values[name] for name in _FACT_COLUMNS})
