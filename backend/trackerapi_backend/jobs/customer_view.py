"""Customer view of a job: latest metadata values and messages, updated by new events.

The page of a job reads the view instead of the events, so its response time does not
grow with the number of events. "Latest" follows the order of (`occurred_at`,
`event_id`), so the view does not depend on the order in which events arrive.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from trackerapi_backend.projection.step import shown_instant
from trackerapi_backend.store import customer_view as stored
from trackerapi_backend.store.documents import compute_once

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

_NO_METADATA = "{}"


def update_customer_view(
    db: Connection,
    job_id: int,
    document: Mapping[str, Any] | None,
    fresh: Sequence[Mapping[str, Any]],
) -> None:
    """Store the metadata values and messages of new events for the customer.

    Args:
        db: Connection in a transaction.
        job_id: Job of the events.
        document: Configuration of the job; None hides all metadata from the customer.
        fresh: Rows of new events in any order.
    """
    keys = compute_once(document, customer_keys)
    in_order = sorted(fresh, key=lambda row: (row["occurred_at"], row["event_id"]))
    values = {
        (row["tag"], row["name"]): row
        for event in in_order
        for row in _values(job_id, keys, event)
    }
    if values:
        stored.save_values(db, list(values.values()))
    messages = [_message(job_id, row) for row in in_order if row["message"] is not None]
    if messages:
        stored.save_messages(db, job_id, messages[-stored.MAX_MESSAGES :])


def customer_keys(
    document: Mapping[str, Any] | None,
) -> dict[str, list[dict[str, Any]]]:
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
    job_id: int,
    keys: Mapping[str, Sequence[Mapping[str, Any]]],
    event: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """Yield a row for each metadata value of an event that the customer may read."""
    of_step = keys.get(event["tag"])
    if not of_step or event["event_metadata"] == _NO_METADATA:
        return
    metadata = json.loads(event["event_metadata"])
    for key in of_step:
        if key["name"] in metadata:
            yield {
                "job_id": job_id,
                "tag": event["tag"],
                "name": key["name"],
                "value": metadata[key["name"]],
                "occurred_at": event["occurred_at"],
                "event_id": event["event_id"],
            }


def _message(job_id: int, event: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "event_id": event["event_id"],
        "message": event["message"],
        "occurred_at": event["occurred_at"],
        "shown_at": shown_instant(event["occurred_at"], event["received_at"]),
    }
