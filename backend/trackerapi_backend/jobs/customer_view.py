"""Customer view of a job: latest metadata values and messages, updated by new events.

The page of a job reads the view instead of the events, so its response time does not
grow with the number of events. "Latest" follows the order of (`occurred_at`,
`event_id`), so the view does not depend on the order in which events arrive.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from trackerapi_backend.jobs.new_event import NO_METADATA
from trackerapi_backend.projection.step import shown_at
from trackerapi_backend.store import customer_view as stored
from trackerapi_backend.store.documents import compute_once

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from trackerapi_backend.store.events import StoredEvent


def update_customer_view(
    db: Connection,
    job_id: int,
    document: Mapping[str, Any] | None,
    fresh: Sequence[StoredEvent],
) -> None:
    """Store the metadata values and messages of new events for the customer.

    Args:
        db: Connection in a transaction.
        job_id: Job of the events.
        document: Configuration of the job; None hides all metadata from the customer.
        fresh: New events in any order.
    """
    keys = compute_once(document, customer_keys)
    shown = [
        event
        for event in fresh
        if event.message is not None
        or (event.tag in keys and event.event_metadata != NO_METADATA)
    ]
    if not shown:
        return
    shown.sort(key=lambda event: (event.occurred_at, event.event_id))
    values = {
        (row["tag"], row["name"]): row
        for event in shown
        for row in _values(keys, event)
    }
    if values:
        stored.save_values(db, list(values.values()))
    messages = [_message(event) for event in shown if event.message is not None]
    if messages:
        stored.save_messages(db, job_id, messages[-stored.MAX_MESSAGES :])


def customer_keys(
    document: Mapping[str, Any] | None,
) -> dict[str | None, list[dict[str, Any]]]:
    """Return the metadata keys with the audience `customer`, by step tag."""
    steps = document["step_configurations"] if document else []
    keys = {
        step["tag"]: [
            key
            for key in step.get("metadata_configurations", ())
            if key["audience"] == "customer"
        ]
        for step in steps
    }
    return {tag: of_step for tag, of_step in keys.items() if of_step}


def _values(
    keys: Mapping[str | None, Sequence[Mapping[str, Any]]], event: StoredEvent
) -> Iterator[dict[str, Any]]:
    """Yield a row for each metadata value of an event that the customer may read."""
    of_step = keys.get(event.tag)
    if not of_step:
        return
    metadata = json.loads(event.event_metadata)
    for key in of_step:
        if key["name"] in metadata:
            yield {
                "job_id": event.job_id,
                "tag": event.tag,
                "name": key["name"],
                "value": metadata[key["name"]],
                "occurred_at": event.occurred_at,
                "event_id": event.event_id,
            }


def _message(event: StoredEvent) -> dict[str, Any]:
    return {
        "job_id": event.job_id,
        "event_id": event.event_id,
        "message": event.message,
        "occurred_at": event.occurred_at,
        "shown_at": shown_at(event),
    }
