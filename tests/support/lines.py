"""Lines (records) of events and creations, as in outbox files."""

import json
from collections.abc import Iterator
from itertools import count
from typing import Any
from uuid import UUID

from trackerapi.outbox.records import Creation

_numbers: Iterator[int] = count(1)


def event_line(
    kind: str = "step",
    *,
    job: str = "job",
    tag: str | None = None,
    event_id: str = "",
    **members: object,
) -> bytes:
    """Return an event as a line; its id is new if `event_id` is empty."""
    event: dict[str, Any] = {
        "event_id": event_id or str(UUID(int=next(_numbers))),
        "provider_job_id": job,
        "kind": kind,
        "tag": tag,
        "occurred_at": "2026-11-24T12:00:00.000000Z",
        **members,
    }
    given = {name: value for name, value in event.items() if value is not None}
    return json.dumps(given, separators=(",", ":")).encode() + b"\n"


def event_lines(number: int, job: str = "job", **members: object) -> list[bytes]:
    """Return lines of `number` events of a job."""
    return [event_line(job=job, **members) for _ in range(number)]  # type: ignore[arg-type]


def creation_line(
    job: str = "job", state: str = "waiting", problem: dict[str, Any] | None = None
) -> bytes:
    """Return the creation of a job as a line."""
    document = {"provider_job_id": job, "customer_id": 142, "tag": "nightly"}
    return Creation(document=document, state=state, problem=problem).as_line()


def event_id_of(line: bytes) -> str:
    """Return the event id of a line."""
    return str(json.loads(line)["event_id"])


def ids_of(lines: list[bytes]) -> list[str]:
    """Return the event ids of lines."""
    return [event_id_of(line) for line in lines]
