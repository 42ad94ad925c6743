"""Customer view of a job: latest metadata values and messages, updated by new events.

The page of a job reads the view instead of all events, so its response time does not
grow with the number of events. "Latest" follows the order of (`occurred_at`,
`event_id`), so the view does not depend on the order in which events arrive.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from trackerapi_backend.jobs.new_event import NO_METADATA
from trackerapi_backend.projection.step import key_of, shown_at
from trackerapi_backend.store.customer_view import (
    MAX_MESSAGES,
    CustomerMessage,
    CustomerValue,
    save_messages,
    save_values,
)
from trackerapi_backend.store.documents import compute_once
from trackerapi_backend.store.schema import compact_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from trackerapi_backend.store.events import StoredEvent


def update_customer_views(
    db: Connection,
    jobs: Iterable[tuple[Mapping[str, Any] | None, Sequence[StoredEvent]]],
) -> None:
    """Store the metadata values and messages of new events for the customers.

    Args:
        db: Connection in a transaction.
        jobs: For each job, its configuration and its new events in any order. Without
            a configuration, the customer sees no metadata.
    """
    values: list[CustomerValue] = []
    messages: list[CustomerMessage] = []
    for document, fresh in jobs:
        keys = compute_once(document, customer_keys)
        shown = sorted(
            (
                event
                for event in fresh
                if event.message is not None
                or (event.tag in keys and event.event_metadata != NO_METADATA)
            ),
            key=key_of,
        )
        latest = {(v.tag, v.name): v for event in shown for v in _values(keys, event)}
        values += latest.values()
        job_messages = [_message(e, e.message) for e in shown if e.message is not None]
        messages += job_messages[-MAX_MESSAGES:]
    if values:
        save_values(db, values)
    if messages:
        save_messages(db, messages)


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
    return {tag: step_keys for tag, step_keys in keys.items() if step_keys}


def _values(
    keys: Mapping[str | None, Sequence[Mapping[str, Any]]], event: StoredEvent
) -> Iterator[CustomerValue]:
    """Yield a row for each metadata value of an event that the customer may read."""
    step_keys = keys.get(event.tag)
    if not step_keys or event.tag is None:
        return
    metadata = json.loads(event.event_metadata)
    for key in step_keys:
        if (name := key["name"]) in metadata:
            yield CustomerValue(
                event.job_id,
                event.tag,
                name,
                compact_json(metadata[name]),
                event.occurred_at,
                event.event_id,
            )


def _message(event: StoredEvent, message: str) -> CustomerMessage:
    return CustomerMessage(
        event.job_id, event.event_id, message, event.occurred_at, shown_at(event)
    )
