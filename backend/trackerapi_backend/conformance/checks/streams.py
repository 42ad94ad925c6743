"""Checks of streams: the first message, and the message after a change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from trackerapi_backend.conformance.expectations import Mismatch, expect
from trackerapi_backend.conformance.group import Group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trackerapi_backend.conformance.exchange import Message
    from trackerapi_backend.conformance.session import Session

group = Group("streams")


def _next_job(messages: Iterator[Message]) -> dict[str, Any]:
    message = next(messages, None)
    if message is None:
        raise Mismatch("stream", "a message", "its end")
    job: dict[str, Any] = json.loads(message.data)
    expect("event of the message", "job", message.event)
    expect("id of the message", str(job["version"]), message.id_)
    return job


@group.check("first-message")
def _first_message(session: Session) -> None:
    """The first message of a stream is the present state of the job."""
    job = session.new_job()
    headers = {"X-API-Key": session.key}
    address = session.address("stream_job", job_id=job["id"])
    with session.exchange.stream(address, headers) as messages:
        expect("job of the message", session.job_now(job), _next_job(messages))


@group.check("change")
def _change(session: Session) -> None:
    """A change of the job is followed by a message with the new state."""
    job = session.new_job()
    address = session.address("stream_job", job_id=job["id"])
    headers = {"X-API-Key": session.key}
    with session.exchange.stream(address, headers) as messages:
        first = _next_job(messages)
        session.report(job, kind="step", tag="load")
        changed = _next_job(messages)
    expect("percent of the message", 25, changed["percent"])
    if changed["version"] <= first["version"]:
        raise Mismatch("version", f"above {first['version']}", changed["version"])


@group.check("last-event-id")
def _last_event_id(session: Session) -> None:
    """A stream with the present version as `Last-Event-ID` sends the next change."""
    job = session.new_job()
    version = session.job_now(job)["version"]
    headers = {"X-API-Key": session.key, "Last-Event-ID": str(version)}
    address = session.address("stream_job", job_id=job["id"])
    with session.exchange.stream(address, headers) as messages:
        session.report(job, kind="step", tag="load")
        expect("percent of the first message", 25, _next_job(messages)["percent"])
