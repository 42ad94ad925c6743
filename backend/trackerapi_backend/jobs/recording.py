"""What becomes of an event that a caller sends: a row, and a state of its job.

An event that the job has already, by its `event_id`, changes nothing: the first one
that was stored counts, whatever a later one says.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from trackerapi_backend.instants import to_micros
from trackerapi_backend.jobs.configurations import StepNames, points_of
from trackerapi_backend.jobs.newest import remember
from trackerapi_backend.problems import invalid
from trackerapi_backend.projection.job import Plan, advance, project
from trackerapi_backend.projection.snapshot import (
    from_document,
    is_current,
    to_document,
)
from trackerapi_backend.projection.step import Fact
from trackerapi_backend.requests.moments import read_moment
from trackerapi_backend.store import events as stored_events
from trackerapi_backend.store import jobs as stored_jobs
from trackerapi_backend.store.documents import derived
from trackerapi_backend.store.schema import compact_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from trackerapi_backend.generated import models
    from trackerapi_backend.projection.job import JobState

MAX_METADATA_BYTES = 8 * 1024

_OF_A_FACT = tuple(field.name for field in fields(Fact))


class Outcome(StrEnum):
    """What became of one event."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    UNKNOWN_JOB = "unknown job"


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that is valid by itself; `values` are those of its row."""

    provider_job_id: str
    values: dict[str, Any]


def read_event(document: models.EventInput, *, now: datetime) -> Draft:
    """Return the event that a caller sent; its shape was checked before.

    Raises:
        Problem: If its members contradict each other or its metadata is too large.
    """
    tag, name = document.get("tag"), document.get("name")
    if tag is not None and name is not None and tag != name:
        raise invalid("/name", "stands for /tag, which says something else")
    sent_id = document.get("event_id")
    return Draft(
        document["provider_job_id"],
        {
            "event_id": _new_event_id(now) if sent_id is None else UUID(sent_id).bytes,
            "kind": document["kind"],
            "tag": name if tag is None else tag,
            "event_metadata": metadata_text(
                document.get("event_metadata") or {}, "/event_metadata"
            ),
            "occurred_at": read_moment(document, "occurred_at", now=now),
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
    # The columns hold floats. An int that is kept until the next refold would make
    # one job read 12 or 12.0, depending on the order in which its events arrived.
    sent = document.get(member)
    return None if sent is None else float(sent)


def metadata_text(metadata: object, pointer: str) -> str:
    """Return metadata as it is stored.

    Raises:
        Problem: If it has more than `MAX_METADATA_BYTES`.
    """
    text = compact_json(metadata)
    if len(text.encode()) > MAX_METADATA_BYTES:
        raise invalid(pointer, f"has more than {MAX_METADATA_BYTES} bytes as JSON")
    return text


def _new_event_id(now: datetime) -> bytes:
    """Return a UUIDv7: milliseconds, then chance."""
    # A clock of before 1970 gives no negative number, which bytes cannot hold.
    milliseconds = max(0, to_micros(now) // 1000).to_bytes(6, "big")
    tail = bytearray(secrets.token_bytes(10))
    tail[0] = tail[0] & 0x0F | 0x70
    tail[2] = tail[2] & 0x3F | 0x80
    return milliseconds + bytes(tail)


def record_events(
    db: Connection,
    provider_id: int,
    drafts: Sequence[Draft],
    *,
    only_job_id: int | None = None,
) -> list[Outcome]:
    """Store events that are new and bring their jobs up to date.

    Args:
        db: Connection in a transaction.
        provider_id: Whose jobs.
        drafts: What was sent.
        only_job_id: The one job that is known to the caller; None for all.

    Returns:
        What became of each draft, in the order of `drafts`.
    """
    places: dict[str, list[int]] = {}
    for place, draft in enumerate(drafts):
        places.setdefault(draft.provider_job_id, []).append(place)
    outcomes = [Outcome.UNKNOWN_JOB] * len(drafts)
    for provider_job_id, of_job in places.items():
        job = stored_jobs.find_job_by_its_name(db, provider_id, provider_job_id)
        if job is not None and only_job_id in (None, job.id):
            rows = [drafts[place].values for place in of_job]
            for place, outcome in zip(of_job, _record(db, job, rows), strict=True):
                outcomes[place] = outcome
    return outcomes


def _record(
    db: Connection, job: Row[Any], rows: Sequence[Mapping[str, Any]]
) -> list[Outcome]:
    """Store the events of one job."""
    known = stored_events.known_event_ids(db, job.id, [row["event_id"] for row in rows])
    names = derived(job.document, StepNames)
    state = from_document(job.state)
    fresh: list[dict[str, Any]] = []
    outcomes = []
    for row in rows:
        if row["event_id"] in known:
            outcomes.append(Outcome.DUPLICATE)
            continue
        known.add(row["event_id"])
        sequence = state.event_count + len(fresh) + 1
        place = {
            "job_id": job.id,
            "sequence": sequence,
            "tag": names.tag_of(row["tag"]),
        }
        fresh.append({**row, **place})
        outcomes.append(Outcome.STORED)
    if fresh:
        stored_events.add_events(db, fresh)
        remember(db, job.id, job.document, fresh)
        state = _advanced(db, job, state, [_fact(row) for row in fresh])
        stored_jobs.save_state(db, job, state.status, to_document(state))
    return outcomes


def _advanced(
    db: Connection, job: Row[Any], state: JobState, fresh: Sequence[Fact]
) -> JobState:
    """Return the state of a job after fresh events, which are stored already."""

    def all_facts() -> Iterator[Fact]:
        return map(fact_of, stored_events.all_events(db, job.id))

    if not is_current(job.state):
        return project(plan_of(job), all_facts())
    return advance(plan_of(job), state, fresh, all_facts)


def plan_of(job: Row[Any]) -> Plan:
    """Return what the state of a job depends on besides its events."""
    return Plan(
        points=derived(job.document, points_of),
        explicit_finish=job.finish == "explicit",
    )


def fact_of(row: Row[Any]) -> Fact:
    """Return what the state of a job takes from a stored event."""
    return _fact(row._asdict())


def _fact(values: Mapping[str, Any]) -> Fact:
    return Fact(**{name: values[name] for name in _OF_A_FACT})
