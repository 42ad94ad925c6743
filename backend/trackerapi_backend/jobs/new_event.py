"""Events of requests before they are recorded."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from trackerapi_backend.problems import invalid
from trackerapi_backend.requests.times import read_micros_or_now
from trackerapi_backend.store.events import StoredEvent
from trackerapi_backend.store.schema import compact_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trackerapi_backend.generated import models

MAX_METADATA_BYTES = 8 * 1024
NO_METADATA = "{}"


class NewEvent(StoredEvent, gc=False):
    """Valid event of a request.

    The recording sets `job_id` and `sequence`, and replaces a display name of a step in
    `tag` by the tag of the step.

    Attributes:
        sent_event_id: `event_id` as it was sent; None if the backend has made the id.
    """

    provider_job_id: str
    sent_event_id: str | None


def read_event(document: models.EventInput, *, now: int, line: int = 0) -> NewEvent:
    """Return the event of a document that is valid by its schema.

    Args:
        document: Body or line of a body.
        now: Time of the request, in microseconds since 1970.
        line: Number of events before this event in its body. An event without
            `occurred_at` gets this number of microseconds after `now`, so that lines
            keep their order.

    Raises:
        Problem: If members contradict each other or the metadata is too large.
    """
    tag, name = document.get("tag"), document.get("name")
    if tag is not None and name is not None and tag != name:
        raise invalid("/name", "and /tag name different steps: send one of them")
    event_id = document.get("event_id")
    metadata = document.get("event_metadata")
    return NewEvent(
        job_id=0,
        sequence=0,
        event_id=bytes.fromhex(event_id.replace("-", ""))
        if event_id  # the schema allows the form of hyphens only
        else new_event_id(now),
        kind=document["kind"],
        tag=name if tag is None else tag,
        event_metadata=metadata_text(metadata, "/event_metadata")
        if metadata
        else NO_METADATA,
        occurred_at=read_micros_or_now(document, "occurred_at", now=now + line),
        received_at=now,
        completed=_number(document.get("completed")),
        total=_number(document.get("total")),
        fraction=_number(document.get("fraction")),
        part=document.get("part"),
        retrying=document.get("retrying", False),
        message=document.get("message"),
        detail=document.get("detail"),
        failed=_number(document.get("failed")),
        max_attempts=_whole(document.get("max_attempts")),
        provider_job_id=document["provider_job_id"],
        sent_event_id=event_id,
    )


def _number(sent: float | None) -> float | None:
    # The columns store floats, so the state of a job needs floats too. An int in the
    # state would change from 12 to 12.0 when the stored events are folded again.
    # `abs` turns -0.0 into 0.0, as SQLite does: no valid number is below 0.
    return None if sent is None else abs(float(sent))


def _whole(sent: int | None) -> int | None:
    # The schema counts 5.0 as an integer.
    return None if sent is None else int(sent)


def metadata_text(metadata: Mapping[str, Any], pointer: str) -> str:
    """Return the JSON text of metadata for the store.

    Raises:
        Problem: If the text has more than `MAX_METADATA_BYTES`.
    """
    text = compact_json(metadata)
    if len(text.encode()) > MAX_METADATA_BYTES:
        raise invalid(pointer, f"has more than {MAX_METADATA_BYTES} bytes as JSON")
    return text


def new_event_id(now: int) -> bytes:
    """Return a UUIDv7: the milliseconds of the clock, then random bits."""
    # A clock before 1970 counts as 1970: `to_bytes()` raises for a negative number.
    milliseconds = max(0, now // 1000).to_bytes(6, "big")
    tail = bytearray(secrets.token_bytes(10))
    tail[0] = tail[0] & 0x0F | 0x70
    tail[2] = tail[2] & 0x3F | 0x80
    return milliseconds + bytes(tail)
