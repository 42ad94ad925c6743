"""What never gets to disk, to a log or to a reader that was not declared."""

import dataclasses
import getpass
import logging
import math
import os
import platform
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.processes.test_failure_table import Road, always, road_to, stored
from tests.support.backend_jobs import deliver
from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import KEY, Request, problem
from trackerapi import (
    DeliveryProblem,
    Event,
    JobConfig,
    JobConfigManager,
    TrackerApi,
    TrackerJob,
)

CANARY: Final = "canary-of-a-patient"
URL: Final = "http://127.0.0.1:9"


@pytest.fixture
def road(backend: RunningBackend) -> Iterator[Road]:
    """Open a road to the backend, on which requests fail as a test says."""
    with road_to(backend) as opened:
        yield opened


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    """Return a folder for an outbox."""
    return tmp_path / "outbox"


def written(folder: Path) -> bytes:
    """Return all bytes below a folder, and the names of its files."""
    paths = sorted(folder.rglob("*"))
    names = "\n".join(str(path.relative_to(folder)) for path in paths).encode()
    return names + b"".join(path.read_bytes() for path in paths if path.is_file())


# before_send


def send_all(job: TrackerJob) -> None:
    """Send events with a canary in each place that takes a text."""
    job.send_event(kind="info", metadata={"Patient": CANARY})
    job.send_event(kind="info", metadata={CANARY: 1})
    job.send_event(kind="info", message=f"for {CANARY}")
    job.send_event(kind="error", name="one", detail=f"of {CANARY}", retrying=True)
    for done in range(3):
        job.send_event(kind="progress", name="one", completed=done, message=CANARY)
    job.send_event(kind="heartbeat", detail=CANARY)


def without_texts(event: Event) -> Event:
    """Return an event with nothing in it but the fact."""
    return dataclasses.replace(event, metadata=None, message=None, detail=None)


def nothing(_: Event) -> None:
    """Drop an event."""


def raising(event: Event) -> Event:
    """Fail, with what the event holds in the error."""
    raise ValueError(f"cannot handle {event}")


def no_event(event: Event) -> Any:
    """Return what is no event."""
    return {"message": event.message}


def no_text(event: Event) -> Event:
    """Return an event that no line can hold."""
    unfit: Any = object()
    return dataclasses.replace(event, kind=unfit)


@pytest.mark.parametrize(
    "before_send", [without_texts, nothing, raising, no_event, no_text]
)
def test_what_before_send_takes_away_is_never_written(
    outbox: Path,
    caplog: pytest.LogCaptureFixture,
    before_send: Callable[[Event], Event | None],
) -> None:
    """Nothing of an event is on disk or in a log that its filter has not let pass."""
    caplog.set_level(logging.DEBUG)
    options: dict[str, Any] = {
        "mode": "offline",
        "outbox": outbox,
        "before_send": before_send,
    }
    with TrackerApi(KEY, URL, **options) as tracker:
        send_all(tracker.job("filtered"))

    assert CANARY.encode() not in written(outbox)
    assert CANARY not in caplog.text
    if before_send is not nothing:
        assert b'"kind":"error"' in written(outbox)


def test_before_send_sees_every_event_before_it_is_on_disk(outbox: Path) -> None:
    """A filter sees each call with all that it says, and nothing of it is written."""
    seen: list[Event] = []

    def look(event: Event) -> Event:
        assert event.event_id.encode() not in written(outbox)
        seen.append(event)
        return event

    options: dict[str, Any] = {"mode": "offline", "outbox": outbox, "before_send": look}
    with TrackerApi(KEY, URL, **options) as tracker:
        job = tracker.job("seen")
        send_all(job)
        ids = [job.send_event(kind="info", metadata={"n": n}) for n in range(3)]

    assert len(seen) == 8 + 3
    assert [event.event_id for event in seen[-3:]] == ids
    assert [event.metadata for event in seen[-3:]] == [{"n": n} for n in range(3)]
    assert [event.completed for event in seen if event.kind == "progress"] == [0, 1, 2]
    assert all(event.event_id.encode() in written(outbox) for event in seen[-3:])


def test_before_send_changes_what_the_backend_gets(
    backend: RunningBackend, tracker: TrackerApi, job: TrackerJob
) -> None:
    """A changed copy is delivered in the place of the event, under its id."""

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


def test_event_that_before_send_drops_is_nowhere(
    backend: RunningBackend, tracker: TrackerApi, job: TrackerJob
) -> None:
    """A dropped event neither waits nor arrives, and the others do."""

    def drop(event: Event) -> Event | None:
        return None if event.message == "secret" else event

    key, url = backend.api_key, backend.base_url
    with TrackerApi(key, url, before_send=drop) as filtering:
        handle = filtering.job(job.provider_job_id)
        for message in ("one", "secret", "two", "secret"):
            handle.send_event(kind="info", message=message)
        deliver(filtering)

    assert [event.message for event in stored(tracker, job)] == ["one", "two"]


def test_event_whose_filter_fails_arrives_bare(
    backend: RunningBackend,
    tracker: TrackerApi,
    job: TrackerJob,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The fact counts and is delivered; texts and values stay; one warning tells it."""
    told: list[DeliveryProblem] = []
    with TrackerApi(
        backend.api_key, backend.base_url, before_send=raising, on_problem=told.append
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
    assert [each.kind for each in told] == ["before-send"]
    assert len(caplog.messages) == 1
    assert "ValueError" in caplog.text


# What a configuration declares


@pytest.fixture
def declaring() -> JobConfig:
    """Load a configuration that keeps what its steps declare, and nothing else."""
    tag = f"declaring-{uuid.uuid4()}"
    score = {"name": "Score", "kind": "number", "audience": "customer"}
    steps = [
        {"tag": "one", "name": "One", "points": 1, "metadata_configurations": [score]},
        {"tag": "two", "name": "Two", "points": 1},
    ]
    document = {
        "tag": tag,
        "name": f"Declaring {tag}",
        "metadata": "declared",
        "step_configurations": steps,
    }
    return JobConfigManager(configs=[document]).get_job_config(tag)


def test_undeclared_metadata_never_reaches_the_disk(
    declaring: JobConfig, outbox: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither key nor value of what no step declares is written, wherever it is."""
    with TrackerApi(KEY, URL, mode="offline", outbox=outbox) as tracker:
        job = tracker.create_job(
            "declaring", 142, declaring.tag, metadata={"Job canary": CANARY}
        )
        for step in ("one", "two", "of nobody", None):
            job.send_event(
                kind="info",
                name=step,
                metadata={"Score": 7, "Patient canary": CANARY, "canary": object()},
            )
        again = tracker.job("declaring", tag=declaring.name)
        again.send_event(kind="info", name="Two", metadata={"Score": CANARY})

    assert b"canary" not in written(outbox)
    assert written(outbox).count(b'"Score":7') == 1
    assert CANARY not in caplog.text
    warnings = [m for m in caplog.messages if "declared" in m or "declare" in m]
    assert any("'one'" in m and "Patient canary" in m for m in warnings)
    assert any("metadata of job 'declaring' was left out" in m for m in warnings)


def test_undeclared_metadata_is_warned_about_once_a_step(
    declaring: JobConfig, outbox: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A loop that sends what it does not declare fills no log."""
    with TrackerApi(KEY, URL, mode="offline", outbox=outbox) as tracker:
        job = tracker.create_job("declaring", 142, declaring.tag)
        for number in range(10):
            job.send_event(kind="info", name="one", metadata={"Patient": number})

    assert len(caplog.messages) == 1
    assert "Patient" in caplog.text


def test_declared_metadata_arrives_with_its_marks(
    backend: RunningBackend, declaring: JobConfig
) -> None:
    """A declared value that had to be changed is marked like any other."""
    with TrackerApi(backend.api_key, backend.base_url) as tracker:
        job = tracker.create_job(str(uuid.uuid4()), 142, declaring.tag)
        job.send_event(kind="step", name="one", metadata={"Score": 7})
        job.send_event(kind="step", name="one", metadata={"Score": math.nan})
        deliver(tracker)

        first, second = stored(tracker, job)
    assert first.event_metadata == {"Score": 7}
    assert second.event_metadata == {"Score": None, "trackerapi_changed": ["Score"]}


def test_filter_cannot_add_what_is_not_declared(
    declaring: JobConfig, outbox: Path
) -> None:
    """What before_send puts into an event has to be declared too."""

    def add(event: Event) -> Event:
        metadata = {**(event.metadata or {}), "Patient": CANARY}
        return dataclasses.replace(event, metadata=metadata)

    options: dict[str, Any] = {"mode": "offline", "outbox": outbox, "before_send": add}
    with TrackerApi(KEY, URL, **options) as tracker:
        job = tracker.create_job("declaring", 142, declaring.tag)
        job.send_event(kind="step", name="one", metadata={"Score": 7})

    assert b'"Score":7' in written(outbox)
    assert CANARY.encode() not in written(outbox)


# keys

KEYS: Final = {
    "ours": KEY,
    "another form": "canarysecret.of/another+form==",
    "too many parts": "trk_canarysecret_canarysecret_canarysecret_canarysecret",
    "three parts": "sk_live_canarysecret",
}


@pytest.mark.parametrize("form", KEYS)
@pytest.mark.parametrize("fate", ["offline", "down", "refused", "held", "delivered"])
def test_key_is_nowhere_but_in_its_header(
    road: Road,
    job: TrackerJob,
    outbox: Path,
    caplog: pytest.LogCaptureFixture,
    form: str,
    fate: str,
) -> None:
    """No file, log, repr, report or error shows a key, whatever becomes of an event."""
    caplog.set_level(logging.DEBUG)
    road.lends_key = True
    road.fault = {
        "down": always(b""),
        "refused": always(problem(401)),
        "held": lambda r: problem(422) if r.method == "POST" else None,
    }.get(fate)
    mode: Any = "offline" if fate == "offline" else "online"
    told: list[DeliveryProblem] = []
    with TrackerApi(
        KEYS[form], road.url, mode=mode, outbox=outbox, on_problem=told.append
    ) as tracker:
        tracker.create_job(job.provider_job_id, 142, str(job.config and job.config.tag))
        handle = tracker.job(job.provider_job_id)
        handle.send_event(kind="info")
        report = tracker.flush(timeout=0.3)
        shown = [tracker, handle, report, told, tracker.admin, tracker.client]

    sent = {request.headers["x-api-key"] for request in road.server.requests}
    assert sent == (set() if fate == "offline" else {KEYS[form]})
    assert written(outbox)
    assert b"canarysecret" not in written(outbox)
    assert "canarysecret" not in caplog.text
    assert not [thing for thing in shown if "canarysecret" in repr(thing)]


@pytest.mark.parametrize("status", [401, 422, 503])
def test_key_that_an_answer_repeats_is_not_shown(
    road: Road, outbox: Path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """A server that prints what it was sent does not bring a key into log or outbox."""

    def echo(request: Request) -> bytes:
        return problem(status, detail=f"Bad key: {request.headers['x-api-key']}")

    caplog.set_level(logging.DEBUG)
    road.fault = echo
    told: list[DeliveryProblem] = []
    with TrackerApi(KEY, road.url, outbox=outbox, on_problem=told.append) as tracker:
        job = tracker.create_job("echo", 142, "undescribed")
        job.send_event(kind="info")
        report = tracker.flush(timeout=0.3)

    assert road.server.requests
    assert b"canarysecret" not in written(outbox)
    assert "canarysecret" not in caplog.text
    assert "canarysecret" not in f"{told} {report}"


def test_no_file_tells_of_machine_or_user(
    road: Road,
    job: TrackerJob,
    outbox: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither the name of the machine nor that of the user is written down."""
    for name in ("USER", "LOGNAME", "USERNAME", "HOSTNAME", "HOST"):
        monkeypatch.setenv(name, f"canary-{name}")
    for module, name in (
        (socket, "gethostname"),
        (socket, "getfqdn"),
        (platform, "node"),
        (getpass, "getuser"),
    ):
        monkeypatch.setattr(module, name, lambda *_: "canary-name")
    uname = os.uname()
    fields = (uname[0], "canary-node", *uname[2:])
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(fields))
    told = threading.Event()
    options: dict[str, Any] = {"outbox": outbox, "on_problem": lambda _: told.set()}
    for job_id in (job.provider_job_id, str(uuid.uuid4())):
        key = road.backend.api_key
        with TrackerApi(key, road.url, shutdown_timeout=30, **options) as tracker:
            handle = tracker.job(job_id)
            handle.send_event(kind="info")
            handle.send_event(kind="error", detail="Traceback")
    assert told.wait(30)

    assert {path.suffix for path in outbox.rglob("*")} >= {".outbox", ".ack", ".held"}
    real_names = [n for n in (socket.gethostname(), uname[1]) if len(n) > 3]
    for name in ("canary", *real_names):
        assert name.encode() not in written(outbox)
    assert not [r for r in road.server.requests if "canary" in repr(r)]
