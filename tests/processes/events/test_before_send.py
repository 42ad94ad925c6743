"""Filters of events: `before_send`."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.backend_jobs import deliver, stored
from tests.support.outbox_folders import folder_content
from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import KEY, NOWHERE
from trackerapi import (
    DeliveryProblem,
    Event,
    TrackerApi,
    TrackerJob,
)

CANARY: Final = "canary-of-a-patient"


def send_all(job: TrackerJob) -> None:
    """Send 8 events with `CANARY` in metadata, message or detail."""
    job.send_event(kind="info", metadata={"Patient": CANARY})
    job.send_event(kind="info", metadata={CANARY: 1})
    job.send_event(kind="info", message=f"for {CANARY}")
    job.send_event(kind="error", name="one", detail=f"of {CANARY}", retrying=True)
    for done in range(3):
        job.send_event(kind="progress", name="one", completed=done, message=CANARY)
    job.send_event(kind="heartbeat", detail=CANARY)


def without_texts(event: Event) -> Event:
    """Return a copy of an event without metadata, message and detail."""
    return dataclasses.replace(event, metadata=None, message=None, detail=None)


def nothing(_: Event) -> None:
    """Drop an event."""


def raising(event: Event) -> Event:
    """Raise an error that contains the event."""
    raise ValueError(f"cannot handle {event}")


def no_event(event: Event) -> Any:
    """Return an object that is not an event."""
    return {"message": event.message}


def no_text(event: Event) -> Event:
    """Return an event whose kind cannot be written as JSON."""
    unfit: Any = object()
    return dataclasses.replace(event, kind=unfit)


@pytest.mark.parametrize(
    "before_send", [without_texts, nothing, raising, no_event, no_text]
)
def test_text_that_before_send_removes_is_never_written(
    outbox: Path,
    caplog: pytest.LogCaptureFixture,
    before_send: Callable[[Event], Event | None],
) -> None:
    """Text that a filter removes, or fails on, is neither in a file nor in the log."""
    caplog.set_level(logging.DEBUG)
    options: dict[str, Any] = {
        "mode": "offline",
        "outbox": outbox,
        "before_send": before_send,
    }
    with TrackerApi(KEY, NOWHERE, **options) as tracker:
        send_all(tracker.job("filtered"))

    assert CANARY.encode() not in folder_content(outbox)
    assert CANARY not in caplog.text
    if before_send is not nothing:
        assert b'"kind":"error"' in folder_content(outbox)


def test_before_send_sees_every_event_before_it_is_on_disk(outbox: Path) -> None:
    """`before_send` is called once per event, before the event is written."""
    seen: list[Event] = []

    def look(event: Event) -> Event:
        assert event.event_id.encode() not in folder_content(outbox)
        seen.append(event)
        return event

    options: dict[str, Any] = {"mode": "offline", "outbox": outbox, "before_send": look}
    with TrackerApi(KEY, NOWHERE, **options) as tracker:
        job = tracker.job("seen")
        send_all(job)
        ids = [job.send_event(kind="info", metadata={"n": n}) for n in range(3)]

    assert len(seen) == 8 + 3
    assert [event.event_id for event in seen[-3:]] == ids
    assert [event.metadata for event in seen[-3:]] == [{"n": n} for n in range(3)]
    assert [event.completed for event in seen if event.kind == "progress"] == [0, 1, 2]
    assert all(event.event_id.encode() in folder_content(outbox) for event in seen[-3:])


def test_before_send_changes_the_delivered_event(
    backend: RunningBackend, tracker: TrackerApi, job: TrackerJob
) -> None:
    """The copy that `before_send` returns is delivered with the id of the event."""

    def change(event: Event) -> Event:
        return dataclasses.replace(
            event, metadata={"Patient": "no. 7"}, message=(event.message or "").upper()
        )

    key, url = backend.api_key, backend.base_url
    with TrackerApi(key, url, before_send=change) as filtering:
        handle = filtering.job(job.provider_job_id)
        event_id = handle.send_event(
            kind="info", metadata={"Patient": CANARY}, message="hello"
        )
        deliver(filtering)

    (event,) = stored(tracker, job)
    assert (event.event_id, event.message) == (event_id, "HELLO")
    assert event.event_metadata == {"Patient": "no. 7"}


def test_dropped_event_is_neither_kept_nor_delivered(
    backend: RunningBackend, tracker: TrackerApi, job: TrackerJob
) -> None:
    """Events for which `before_send` returns None are not delivered."""

    def drop(event: Event) -> Event | None:
        return None if event.message == "secret" else event

    key, url = backend.api_key, backend.base_url
    with TrackerApi(key, url, before_send=drop) as filtering:
        handle = filtering.job(job.provider_job_id)
        for message in ("one", "secret", "two", "secret"):
            handle.send_event(kind="info", message=message)
        deliver(filtering)

    assert [event.message for event in stored(tracker, job)] == ["one", "two"]


def test_event_of_a_failed_filter_arrives_without_texts(
    backend: RunningBackend,
    tracker: TrackerApi,
    job: TrackerJob,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """If `before_send` raises, the event is delivered without texts and metadata."""
    reported: list[DeliveryProblem] = []
    with TrackerApi(
        backend.api_key,
        backend.base_url,
        before_send=raising,
        on_problem=reported.append,
    ) as filtering:
        handle = filtering.job(job.provider_job_id)
        for done in (3, 4):
            handle.send_event(
                kind="error",
                name="say_hello",
                metadata={"Patient": CANARY},
                message=CANARY,
                detail=CANARY,
                completed=done,
                total=9,
                retrying=True,
            )
        deliver(filtering)

    for event, done in zip(stored(tracker, job), (3, 4), strict=True):
        assert (event.kind, event.tag, event.retrying) == ("error", "say_hello", True)
        assert (event.completed, event.total) == (done, 9)
        assert (event.event_metadata, event.message, event.detail) == ({}, None, None)
    assert [each.kind for each in reported] == ["before-send"]
    assert len(caplog.messages) == 1
    assert "ValueError" in caplog.text
