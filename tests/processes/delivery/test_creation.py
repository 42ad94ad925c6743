"""What raises and what does not: each row of the table, by default and with `strict`.

Requests go to a real backend over a road on which a test lets them fail. The id of a
test begins with its row, and its docstring with the row's first words.
"""

import http.client
import json
import logging
import math
import os
import re
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from tests.support.backend_jobs import deliver
from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import Request, ScriptedServer, problem
from tests.support.scripted_server import http as http_answer
from trackerapi import (
    AuthenticationError,
    BackendRejected,
    JobConfig,
    OutboxError,
    TrackerApi,
    TrackerJob,
    UnknownStepError,
)
from trackerapi.delivery import loop as courier
from trackerapi.models import JobEvent
from trackerapi.outbox.held import HeldJournal

SLACK_SECONDS: Final = 60.0
"""Time that a busy machine may add; a call that waits for the backend takes longer."""

ROWS: Final = {
    "no-answer": "create_job: no answer",
    "key-refused": "create_job: key refused",
    "content-refused": "create_job: refused for its content",
    "refused-later": "Creation that waited is refused later",
    "unknown-job": "Event for a job the backend does not know",
    "any-fault": "send_event, any backend or network fault",
    "unknown-step": "Unknown step tag; misspelt kind",
    "metadata": "Metadata that JSON cannot hold or above a limit",
    "outbox": "Outbox cannot be written",
    "exit": "Exit with events undelivered",
}
"""The first words of each row."""

WAYS: Final = ("default", "strict")

Fault = Callable[[Request], "bytes | Iterable[bytes] | None"]
"""Answers instead of the backend; None lets a request pass."""


def of_row(row: str, *ways: str) -> pytest.MarkDecorator:
    """Run a test of a row in some ways; in both if none is given."""
    chosen = ways or WAYS
    return pytest.mark.parametrize(
        "strict",
        [way == "strict" for way in chosen],
        ids=[f"{row}-{way}" for way in chosen],
    )


@dataclass
class Road:
    """The way to a backend, on which requests fail as a test says.

    Attributes:
        backend: Where requests end up that no fault takes.
        fault: What happens to requests; they pass without one.
        lends_key: Whether requests arrive with the backend's key, whatever theirs is.
    """

    backend: RunningBackend
    fault: Fault | None = None
    lends_key: bool = False
    server: ScriptedServer = field(init=False)

    def __post_init__(self) -> None:
        self.server = ScriptedServer(self._answer)

    @property
    def url(self) -> str:
        """The address that reports go to."""
        return self.server.url

    def count(self, method: str, end_of_target: str) -> int:
        """Return how many requests of a kind have come so far."""
        return sum(
            request.method == method and request.target.endswith(end_of_target)
            for request in self.server.requests
        )

    def _answer(self, request: Request) -> bytes | Iterable[bytes]:
        answer = self.fault(request) if self.fault else None
        return self._passed_on(request) if answer is None else answer

    def _passed_on(self, request: Request) -> bytes:
        to = urlsplit(self.backend.base_url)
        own = {"host", "connection", "content-length", "transfer-encoding"}
        own.add("accept-encoding")
        headers = {n: v for n, v in request.headers.items() if n not in own}
        if self.lends_key:
            headers["x-api-key"] = self.backend.api_key
        connection = http.client.HTTPConnection(to.hostname or "", to.port, timeout=30)
        with closing(connection):
            connection.request(request.method, request.target, request.body, headers)
            answer = connection.getresponse()
            media_type = answer.headers.get("Content-Type", "")
            return http_answer(answer.status, answer.read(), media_type)


@contextmanager
def road_to(backend: RunningBackend) -> Iterator[Road]:
    """Open a road to a backend."""
    road = Road(backend)
    with road.server:
        yield road


@pytest.fixture
def road(backend: RunningBackend) -> Iterator[Road]:
    """Open a road to the session's backend."""
    with road_to(backend) as opened:
        yield opened


@pytest.fixture
def silence() -> Iterator[threading.Event]:
    """Return what ends the silence of `silent()`; it ends with the test at last."""
    ended = threading.Event()
    yield ended
    ended.set()


def always(answer: bytes) -> Fault:
    """Answer each request alike; empty bytes close the connection."""
    return lambda _: answer


def silent(ended: threading.Event) -> Fault:
    """Take each request and answer nothing until told to end."""

    def fault(_: Request) -> bytes:
        ended.wait()
        return b""

    return fault


def reporting(road: Road, *, strict: bool, **options: Any) -> TrackerApi:
    """Return a tracker that reports over a road, and whose end does not wait."""
    key = options.pop("api_key", road.backend.api_key)
    return TrackerApi(
        key, road.url, **{"strict": strict, "shutdown_timeout": 0} | options
    )


def new_job(
    tracker: TrackerApi, config: JobConfig, job_id: str = "", customer_id: int = 142
) -> TrackerJob:
    """Create a job of a customer, by default a new one."""
    return tracker.create_job(job_id or str(uuid.uuid4()), customer_id, config.tag)


def stored(tracker: TrackerApi, job: TrackerJob | str) -> list[JobEvent]:
    """Return what the backend has of a job, in order of arrival."""
    job_id = job if isinstance(job, str) else job.provider_job_id
    return list(tracker.job(job_id).events())


def levels(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the levels of the messages so far."""
    return [record.levelname for record in caplog.records]


def below_a_file(folder: Path) -> Path:
    """Return a folder that nobody can make."""
    (folder / "file").write_bytes(b"")
    return folder / "file" / "outbox"


# create_job: no answer

HTML: Final = b"<!doctype html><title>Welcome</title><p>Please log in to the network."
NO_ANSWERS: Final = {
    "closed": b"",
    **{str(s): problem(s) for s in (408, 425, 429, 500, 502, 503, 504)},
    "bare-503": http_answer(503, HTML, "text/html"),
    "portal": http_answer(200, HTML, "text/html; charset=utf-8"),
    "portal-403": http_answer(403, HTML, "text/html"),
    "proxy-404": http_answer(404, HTML, "text/html"),
    "redirect": http_answer(302, b"", "", Location="https://portal.example/"),
    "another-service": http_answer(200, {"status": "ok"}),
    "not-http": b"220 mail.example ESMTP\r\n\r\n",
}


@pytest.mark.parametrize("answer", NO_ANSWERS)
@of_row("no-answer")
def test_creation_without_an_answer_waits(
    road: Road,
    config: JobConfig,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    strict: bool,
    answer: str,
) -> None:
    """create_job: no answer: one attempt, then it waits; one warning."""
    # However slow the machine, the next attempt is that of the flush.
    monkeypatch.setattr(courier, "backoff_seconds", lambda *_, **__: 3600.0)
    road.fault = always(NO_ANSWERS[answer])
    with reporting(road, strict=strict) as tracker:
        job = new_job(tracker, config)
        job.send_event(kind="step", name="say_hello")
        attempts = road.count("POST", "/jobs")
        waiting = tracker.delivery().waiting
        road.fault = None
        deliver(tracker)

        assert job.fetch().percent == 28.57
    assert (attempts, waiting) == (1, 2)
    assert levels(caplog) == ["WARNING"]
    assert "cannot be reached" in caplog.text


@of_row("no-answer")
def test_creation_takes_three_seconds_at_most(
    road: Road, config: JobConfig, silence: threading.Event, strict: bool
) -> None:
    """create_job: no answer: silence and a drip hold the script 3 s at most."""

    def fault(request: Request) -> bytes | Iterable[bytes] | None:
        return drip() if b"drip" in request.body else silent(silence)(request)

    def drip() -> Iterable[bytes]:
        for place in range(1000):
            yield http_answer(201, b" " * 1000)[place : place + 1]
            silence.wait(0.2)

    def seconds_to_create(job_id: str) -> float:
        began = time.monotonic()
        new_job(tracker, config, job_id)
        return time.monotonic() - began

    road.fault = fault
    tracker = reporting(road, strict=strict)
    with tracker, ThreadPoolExecutor(2) as pool:
        ids = [f"{word}-{uuid.uuid4()}" for word in ("silence", "drip")]
        took = list(pool.map(seconds_to_create, ids))

    assert max(took) <= 3.0 + SLACK_SECONDS


@pytest.mark.parametrize("status", [429, 503])
@of_row("no-answer")
def test_creation_is_sent_again_no_sooner_than_the_backend_asks(
    road: Road, config: JobConfig, strict: bool, status: int
) -> None:
    """create_job: no answer: the asked wait is kept, unless the script flushes."""
    body = problem(status).partition(b"\r\n\r\n")[2]
    busy = http_answer(
        status, body, "application/problem+json", **{"Retry-After": "30"}
    )
    road.fault = lambda request: busy if request.method == "POST" else None
    with reporting(road, strict=strict) as tracker:
        new_job(tracker, config)
    assert road.count("POST", "/jobs") == 1

    with reporting(road, strict=strict) as tracker:
        new_job(tracker, config)
        road.fault = None
        report = tracker.flush(timeout=30)

    assert report.waiting == 0


# create_job: key refused


@pytest.mark.parametrize("status", [401, 403])
@of_row("key-refused", "default")
def test_refused_key_is_an_error_at_once_and_at_exit(
    road: Road,
    config: JobConfig,
    caplog: pytest.LogCaptureFixture,
    strict: bool,
    status: int,
) -> None:
    """create_job: key refused: the log has the error at once and at exit again."""
    road.fault = always(problem(status))
    tracker = reporting(road, strict=strict, shutdown_timeout=30)
    job = new_job(tracker, config)
    at_once = [record.message for record in caplog.records]
    job.send_event(kind="step", name="say_hello")
    caplog.clear()
    tracker.close()

    assert len(at_once) == 1
    assert "refused the API key" in at_once[0]
    assert "TRACKERAPI_API_KEY" in at_once[0]
    errors = [r.message for r in caplog.records if r.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "refused the API key" in errors[0]


@of_row("key-refused", "default")
def test_refused_key_is_told_twice_by_a_whole_script(
    backend: RunningBackend, strict: bool
) -> None:
    """create_job: key refused: stderr has it at once and last; the exit status is 0."""
    end = ended_script(
        "tracker = TrackerApi()\n"
        "job = tracker.create_job('refused', 142, 'undescribed')\n"
        "job.send_event(kind='info')\n"
        "print('meanwhile', file=sys.stderr)\n",
        TRACKERAPI_BASE_URL=backend.base_url,
        TRACKERAPI_API_KEY="not-a-key",
        TRACKERAPI_STRICT=str(int(strict)),
    )

    before, _, after = end.stderr.partition("meanwhile")
    assert before.count("refused the API key") == 1
    assert after.count("refused the API key") == 1


@pytest.mark.parametrize("place", ["file", "environment"])
@of_row("key-refused", "default")
def test_everything_waits_for_a_working_key(
    backend: RunningBackend,
    config: JobConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    strict: bool,
    place: str,
) -> None:
    """create_job: key refused: a good key in its place brings everything."""
    bad = backend.api_key[:-10] + backend.api_key[-10:][::-1]
    key_file = tmp_path / "key"
    variable = "TRACKERAPI_API_KEY" + ("_FILE" if place == "file" else "")
    key_file.write_text(bad)
    monkeypatch.setenv(variable, str(key_file) if place == "file" else bad)
    with TrackerApi(base_url=backend.base_url, strict=strict) as tracker:
        job = new_job(tracker, config)
        event_id = job.send_event(kind="step", name="say_hello")
        refused = tracker.flush(timeout=0.3)
        if place == "file":
            key_file.write_text(backend.api_key)
        else:
            monkeypatch.setenv(variable, backend.api_key)
        deliver(tracker)

        assert refused.waiting == 2
        assert job.fetch().percent == 28.57
        assert [event.event_id for event in stored(tracker, job)] == [event_id]


@pytest.mark.parametrize("status", [401, 403])
@of_row("key-refused", "strict")
def test_refused_key_raises(
    road: Road, config: JobConfig, strict: bool, status: int
) -> None:
    """create_job: key refused: AuthenticationError for who asked for it."""
    road.fault = always(problem(status))
    with reporting(road, strict=strict) as tracker:
        with pytest.raises(AuthenticationError) as caught:
            new_job(tracker, config)

    assert caught.value.status == status


# create_job: refused for its content


def create_refused(
    why: str, road: Road, tracker: TrackerApi, config: JobConfig, job_id: str
) -> TrackerJob:
    """Create a job in a way that the backend refuses."""
    match why:
        case "404":
            return new_job(tracker, config, job_id, customer_id=999_999)
        case "409-customer":
            with TrackerApi(road.backend.api_key, road.backend.base_url) as other:
                new_job(other, config, job_id)
            return new_job(tracker, config, job_id, customer_id=1)
        case "409-tag":
            with TrackerApi(road.backend.api_key, road.backend.base_url) as other:
                new_job(other, config, job_id)
            return tracker.create_job(job_id, 142, f"other {uuid.uuid4()}")
        case "413":
            steps = (replace(config.step_configurations[0], name="x" * 1_260_000),)
            tag = f"huge {uuid.uuid4()}"
            huge = replace(config, tag=tag, step_configurations=steps)
            return tracker.create_job(job_id, 142, tag, config=huge)
        case _:
            refusal = problem(422, detail="The steps have no points.")
            road.fault = lambda r: refusal if r.target.endswith("/jobs") else None
            return new_job(tracker, config, job_id)


REFUSALS: Final = ("404", "409-customer", "409-tag", "413", "422")


@pytest.mark.parametrize("why", REFUSALS)
@of_row("content-refused", "default")
def test_job_that_was_refused_runs_and_is_held(
    road: Road,
    tracker: TrackerApi,
    config: JobConfig,
    caplog: pytest.LogCaptureFixture,
    strict: bool,
    why: str,
) -> None:
    """create_job: refused for its content: all is held, the error names the mend."""
    job_id = str(uuid.uuid4())
    with reporting(road, strict=strict) as refused:
        job = create_refused(why, road, refused, config, job_id)
        for _ in range(3):
            job.send_event(kind="info")
        report = refused.flush(timeout=30)

    assert (report.waiting, report.held, report.delivered) == (0, 4, 0)
    assert road.count("POST", "/events/batch") == 0
    mend = rf"trackerapi outbox retry --job '?{job_id}'? \[--customer-id N\]"
    (error,) = [m for m in caplog.messages if re.search(mend, m)]
    assert why[:3] in error
    assert set(levels(caplog)) == {"ERROR"}
    if why.startswith("409"):
        assert stored(tracker, job_id) == []
    else:
        assert not list(tracker.list_jobs(provider_job_id=job_id))


@of_row("content-refused", "default")
def test_event_that_was_never_sent_is_not_said_to_be_refused(
    road: Road, config: JobConfig, caplog: pytest.LogCaptureFixture, strict: bool
) -> None:
    """create_job: refused for its content: one error is enough, and is true."""
    with reporting(road, strict=strict) as tracker:
        job = create_refused("404", road, tracker, config, str(uuid.uuid4()))
        job.send_event(kind="info")
        tracker.flush(timeout=30)

    assert road.count("POST", "/events/batch") == 0
    assert "refused an event" not in caplog.text
    assert levels(caplog) == ["ERROR"]


@of_row("content-refused", "default")
def test_refused_job_and_its_events_are_held_under_the_reason(
    road: Road, config: JobConfig, tmp_path: Path, strict: bool
) -> None:
    """create_job: refused for its content: what is held says why."""
    with reporting(road, strict=strict, outbox=tmp_path / "outbox") as tracker:
        job = create_refused("422", road, tracker, config, "refused-422")
        event_id = job.send_event(kind="step", name="say_hello")
        tracker.flush(timeout=30)

    (journal_path,) = (tmp_path / "outbox").glob("*.held")
    journal = HeldJournal(journal_path)
    journal.refresh()
    creation, event = journal.entries(is_deferred=False)
    assert creation.creation is not None
    assert creation.reason == "The steps have no points."
    assert event.record_id == event_id
    assert event.provider_job_id == "refused-422"
    assert "refused" in event.reason


@pytest.mark.parametrize("why", REFUSALS)
@of_row("content-refused", "strict")
def test_job_that_was_refused_raises(
    road: Road, config: JobConfig, strict: bool, why: str
) -> None:
    """create_job: refused for its content: BackendRejected, and nothing is kept."""
    with reporting(road, strict=strict) as tracker:
        with pytest.raises(BackendRejected) as caught:
            create_refused(why, road, tracker, config, str(uuid.uuid4()))
        report = tracker.flush(timeout=30)

    assert str(caught.value.status) == why[:3]
    assert (report.waiting, report.held) == (0, 0)


# Creation that waited is refused later


@pytest.mark.parametrize("why", ["404", "422"])
@of_row("refused-later")
def test_waiting_creation_that_is_refused_is_held(
    road: Road,
    tracker: TrackerApi,
    config: JobConfig,
    caplog: pytest.LogCaptureFixture,
    strict: bool,
    why: str,
) -> None:
    """Creation that waited is refused later: held likewise, told by flush()."""
    job_id = str(uuid.uuid4())
    refusal = problem(422)
    road.fault = always(b"")
    with reporting(road, strict=strict) as late:
        job = new_job(late, config, job_id, customer_id=999_999)
        job.send_event(kind="step", name="say_hello")
        waiting = late.delivery()
        road.fault = None
        if why == "422":
            road.fault = lambda r: refusal if r.target.endswith("/jobs") else None
        report = late.flush(timeout=30)
        job.send_event(kind="step", name="say_bye")
        report_after = late.flush(timeout=30)

    assert (waiting.waiting, waiting.held) == (2, 0)
    assert (report.waiting, report.held) == (0, 2)
    assert (report_after.waiting, report_after.held) == (0, 3)
    mends = [m for m in caplog.messages if "trackerapi outbox retry --job" in m]
    assert len(mends) == 1
    assert job_id in mends[0]
    assert not list(tracker.list_jobs(provider_job_id=job_id))


# Event for a job the backend does not know


@of_row("unknown-job")
def test_creation_in_another_file_is_sent_for_an_event(
    backend: RunningBackend, config: JobConfig, strict: bool
) -> None:
    """Event for a job the backend does not know: the creation is found and sent."""
    where: dict[str, Any] = {"api_key": backend.api_key, "base_url": backend.base_url}
    job_id = str(uuid.uuid4())
    offline = TrackerApi(**where, mode="offline", strict=strict)
    online = TrackerApi(**where, strict=strict)
    with offline, online:
        # Its file has a living owner, so that nobody takes it over.
        new_job(offline, config, job_id)
        event_id = online.job(job_id).send_event(kind="step", name="say_hello")
        deliver(online)

        assert [event.event_id for event in stored(online, job_id)] == [event_id]
        assert online.get_job(job_id).percent == 28.57


@of_row("unknown-job")
def test_job_that_a_restored_backend_forgot_is_created_again(
    road: Road, config: JobConfig, strict: bool
) -> None:
    """Event for a job the backend does not know: a restored backup is mended."""
    forgot: list[Request] = []

    def fault(request: Request) -> bytes | None:
        if forgot or not request.target.endswith("/events/batch"):
            return None
        forgot.append(request)
        return unknown_jobs(request)

    road.fault = fault
    with reporting(road, strict=strict) as tracker:
        job = new_job(tracker, config)
        ids = [job.send_event(kind="step", name=n) for n in ("say_hello", "say_bye")]
        deliver(tracker)

        assert forgot
        assert road.count("POST", "/jobs") == 2
        assert [event.event_id for event in stored(tracker, job)] == ids


def unknown_jobs(request: Request) -> bytes:
    """Answer a batch as a backend does that knows none of its jobs."""
    lines = [json.loads(line) for line in request.body.splitlines()]
    details = json.loads(problem(404).partition(b"\r\n\r\n")[2])
    return http_answer(
        200,
        {
            "accepted": 0,
            "duplicates": 0,
            "rejected": [
                {"line": number, "event_id": line["event_id"], "problem": details}
                for number, line in enumerate(lines, start=1)
            ],
        },
    )


@of_row("unknown-job")
def test_event_without_any_creation_waits_in_its_order(
    backend: RunningBackend,
    tracker: TrackerApi,
    config: JobConfig,
    caplog: pytest.LogCaptureFixture,
    strict: bool,
) -> None:
    """Event for a job the backend does not know: it waits until the job is there."""
    job_id = str(uuid.uuid4())
    told = threading.Event()
    options: dict[str, Any] = {"strict": strict, "on_problem": lambda _: told.set()}
    with TrackerApi(backend.api_key, backend.base_url, **options) as early:
        job = early.job(job_id)
        ids = [job.send_event(kind="info")]
        assert told.wait(30)
        first = early.flush(timeout=0.5)
        ids += [job.send_event(kind="info") for _ in range(3)]
        second = early.flush(timeout=0.5)
        new_job(tracker, config, job_id)
        deliver(early)

    assert (first.waiting, first.held) == (1, 0)
    assert (second.waiting, second.held) == (4, 0)
    assert [event.event_id for event in stored(tracker, job_id)] == ids
    assert levels(caplog) == ["WARNING"]
    assert job_id in caplog.text


@pytest.mark.parametrize(("days", "counts"), [(6, (1, 0)), (8, (0, 1))])
@of_row("unknown-job")
def test_event_is_held_when_it_has_waited_for_seven_days(
    backend: RunningBackend,
    tmp_path: Path,
    strict: bool,
    days: int,
    counts: tuple[int, int],
) -> None:
    """Event for a job the backend does not know: held after 7 days, not before."""
    told = threading.Event()
    options: dict[str, Any] = {"outbox": tmp_path / "outbox", "strict": strict}
    options["on_problem"] = lambda _: told.set()
    where = (backend.api_key, backend.base_url)
    with TrackerApi(*where, **options) as tracker:
        tracker.job(str(uuid.uuid4())).send_event(kind="info")
        assert told.wait(30)
    (journal,) = (tmp_path / "outbox").glob("*.held")
    since = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")
    kept = json.loads(journal.read_text())
    journal.write_text(json.dumps({**kept, "since": since}) + "\n")
    with TrackerApi(*where, **options) as later:
        report = later.flush(timeout=1.0 if days < 7 else 30)

    assert (report.waiting, report.held) == counts


# send_event, any backend or network fault

FAULTS: Final = {
    "silence": b"",
    **{str(s): problem(s) for s in (401, 403, 404)},
    **{kind: NO_ANSWERS[kind] for kind in ("closed", "429", "503", "portal")},
    **{kind: NO_ANSWERS[kind] for kind in ("proxy-404", "redirect", "not-http")},
}


@pytest.mark.parametrize("kind", FAULTS)
@of_row("any-fault")
def test_events_return_at_once_and_arrive_later(
    road: Road,
    tracker: TrackerApi,
    job: TrackerJob,
    silence: threading.Event,
    strict: bool,
    kind: str,
) -> None:
    """send_event, any backend or network fault: at once, and delivered later."""
    road.fault = silent(silence) if kind == "silence" else always(FAULTS[kind])
    with reporting(road, strict=strict) as failing:
        handle = failing.job(job.provider_job_id)
        ids = [handle.send_event(kind="info")]
        failing.flush(timeout=0.1)  # the courier is in the middle of it now
        began = time.monotonic()
        ids += [handle.send_event(kind="info") for _ in range(100)]
        seconds = time.monotonic() - began
        road.fault = None
        silence.set()
        deliver(failing)

    assert seconds <= SLACK_SECONDS
    assert [event.event_id for event in stored(tracker, job)] == ids


# Unknown step tag; misspelt kind

TYPOS: Final = {
    "step": ({"kind": "step", "name": "say_helo"}, "did you mean 'say_hello'?"),
    "kind": ({"kind": "complet"}, "did you mean 'complete'?"),
}


@pytest.mark.parametrize("what", TYPOS)
@of_row("unknown-step", "default")
def test_typo_is_sent_as_it_is_and_warned_about_once(
    tracker: TrackerApi,
    job: TrackerJob,
    caplog: pytest.LogCaptureFixture,
    strict: bool,
    what: str,
) -> None:
    """Unknown step tag; misspelt kind: sent, counts for nothing, warned once."""
    assert not strict
    typo, near = TYPOS[what]
    ids = [job.send_event(**typo) for _ in range(3)]  # type: ignore[arg-type]
    deliver(tracker)

    assert [event.event_id for event in stored(tracker, job)] == ids
    assert {(e.kind, e.tag) for e in stored(tracker, job)} == {
        (typo["kind"], typo.get("name"))
    }
    assert (job.fetch().percent, job.fetch().status) == (0, "pending")
    assert levels(caplog) == ["WARNING"]
    assert near in caplog.text


@pytest.mark.parametrize("what", TYPOS)
@of_row("unknown-step", "strict")
def test_typo_raises_and_nothing_is_sent(
    road: Road, config: JobConfig, strict: bool, what: str
) -> None:
    """Unknown step tag; misspelt kind: UnknownStepError with the nearest one."""
    typo, near = TYPOS[what]
    with reporting(road, strict=strict) as tracker:
        job = new_job(tracker, config)
        with pytest.raises(UnknownStepError, match=re.escape(near)):
            job.send_event(**typo)  # type: ignore[arg-type]
        deliver(tracker)

        assert stored(tracker, job) == []


# Metadata that JSON cannot hold or above a limit

CYCLE: Final[list[Any]] = []
CYCLE.append(CYCLE)

MISFITS: Final[dict[str, tuple[dict[str, Any], Any]]] = {
    "object": ({"At": Path("/data")}, "/data"),
    "nan": ({"At": math.nan}, None),
    "long": ({"At": "x" * 10_000}, "x" * 199 + "…"),
    "deep": ({"At": {"b": {"c": {"d": {"e": {"f": 1}}}}}}, ...),
    "cycle": ({"At": CYCLE}, ...),
    "many": ({f"k{n}": n for n in range(60)}, ...),
}


@pytest.mark.parametrize("misfit", MISFITS)
@of_row("metadata", "default")
def test_misfit_metadata_is_changed_and_marked(
    tracker: TrackerApi,
    job: TrackerJob,
    caplog: pytest.LogCaptureFixture,
    strict: bool,
    misfit: str,
) -> None:
    """Metadata that JSON cannot hold or above a limit: changed, marked, warned once."""
    assert not strict
    metadata, wanted = MISFITS[misfit]
    ids = [job.send_event(kind="info", metadata=metadata) for _ in range(2)]
    deliver(tracker)

    events = stored(tracker, job)
    assert [event.event_id for event in events] == ids
    assert all(event.event_metadata["trackerapi_changed"] for event in events)
    if wanted is not ...:
        assert events[0].event_metadata["At"] == wanted
        assert events[0].event_metadata["trackerapi_changed"] == ["At"]
    assert levels(caplog) == ["WARNING"]


@pytest.mark.parametrize("misfit", MISFITS)
@of_row("metadata", "strict")
def test_misfit_metadata_raises_and_nothing_is_sent(
    road: Road, config: JobConfig, strict: bool, misfit: str
) -> None:
    """Metadata that JSON cannot hold or above a limit: ValueError."""
    with reporting(road, strict=strict) as tracker:
        job = new_job(tracker, config)
        with pytest.raises(ValueError, match=r"not JSON|JSON or the limits"):
            job.send_event(kind="info", metadata=MISFITS[misfit][0])
        deliver(tracker)

        assert stored(tracker, job) == []


# Outbox cannot be written


@of_row("outbox", "default")
def test_events_are_delivered_without_an_outbox(
    road: Road,
    config: JobConfig,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    strict: bool,
) -> None:
    """Outbox cannot be written: all waits in memory and is delivered from there."""
    with reporting(road, strict=strict, outbox=below_a_file(tmp_path)) as tracker:
        job = new_job(tracker, config)
        ids = [job.send_event(kind="info") for _ in range(100)]
        deliver(tracker)
        road.fault = always(b"")
        ids += [job.send_event(kind="info") for _ in range(100)]
        waiting = tracker.flush(timeout=0.2).waiting
        road.fault = None
        deliver(tracker)

        assert [event.event_id for event in stored(tracker, job)] == ids
        assert not tracker.delivery().dropped
    assert waiting == 100
    assert sum("cannot be written" in message for message in caplog.messages) == 1


@of_row("outbox", "default")
def test_newest_is_dropped_and_counted_beyond_the_bound_of_memory(
    road: Road,
    tracker: TrackerApi,
    job: TrackerJob,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    strict: bool,
) -> None:
    """Outbox cannot be written: beyond the bound the newest is dropped and counted."""
    monkeypatch.setattr("trackerapi.outbox.outbox.MAX_BACKLOG_RECORDS", 20)
    road.fault = always(b"")
    with reporting(road, strict=strict, outbox=below_a_file(tmp_path)) as failing:
        handle = failing.job(job.provider_job_id)
        ids = [handle.send_event(kind="info") for _ in range(30)]
        report = failing.delivery()
        road.fault = None
        deliver(failing)

    assert (report.waiting, sum(report.dropped.values())) == (20, 10)
    assert [event.event_id for event in stored(tracker, job)] == ids[:20]
    assert sum("cannot be written" in message for message in caplog.messages) == 1
    assert sum("was dropped" in message for message in caplog.messages) == 1


@of_row("outbox", "strict")
def test_outbox_that_cannot_be_written_raises(
    road: Road, tracker: TrackerApi, job: TrackerJob, tmp_path: Path, strict: bool
) -> None:
    """Outbox cannot be written: OutboxError, and nothing was recorded."""
    with reporting(road, strict=strict, outbox=below_a_file(tmp_path)) as failing:
        with pytest.raises(OutboxError, match="cannot be written"):
            failing.create_job(str(uuid.uuid4()), 142, "undescribed")
        with pytest.raises(OutboxError, match="cannot be written"):
            failing.job(job.provider_job_id).send_event(kind="info")
        report = failing.flush(timeout=30)

    assert report.waiting == 0
    assert stored(tracker, job) == []


@of_row("outbox")
def test_disk_that_is_full_loses_no_event_whose_call_returned(
    backend: RunningBackend, tracker: TrackerApi, job: TrackerJob, strict: bool
) -> None:
    """Outbox cannot be written: a disk that fills up loses nothing that was taken."""
    end = ended_script(
        "import resource\n"
        "from trackerapi import OutboxError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "tracker = TrackerApi()\n"
        f"job = tracker.job({job.provider_job_id!r})\n"
        "for _ in range(60):\n"
        "    try:\n"
        "        print(job.send_event(kind='info'))\n"
        "    except OutboxError:\n"
        "        print('refused')\n"
        "print(tracker.flush(timeout=30).waiting)\n",
        TRACKERAPI_BASE_URL=backend.base_url,
        TRACKERAPI_API_KEY=backend.api_key,
        TRACKERAPI_STRICT=str(int(strict)),
    )

    *outcomes, waiting = end.stdout.split()
    returned = [outcome for outcome in outcomes if outcome != "refused"]
    assert (len(outcomes), waiting) == (60, "0")
    assert (len(returned) < 60) is strict
    assert [event.event_id for event in stored(tracker, job)] == returned
    assert end.stderr.count("cannot be written") == 1


# Exit with events undelivered


@dataclass(frozen=True, slots=True)
class EndedScript:
    """A script that has ended well.

    Attributes:
        seconds: From its last output to its end.
    """

    stdout: str
    stderr: str
    seconds: float


def ended_script(script: str, **settings: str) -> EndedScript:
    """Run a script to its end; it must end well."""
    begin = "import sys\nfrom trackerapi import TrackerApi\n"
    code = f"{begin}{script}\nprint('-', flush=True)"
    variables = {"PYTHONDONTWRITEBYTECODE": "1", **settings}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()
        assert process.stdout is not None
        assert process.stderr is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if line == "-\n":
                break
        began = time.monotonic()
        stderr = process.stderr.read()
        status = process.wait()
        seconds = time.monotonic() - began
        watchdog.cancel()
    assert status == 0, stderr
    assert "Traceback" not in stderr, stderr
    return EndedScript("".join(lines[:-1]), stderr, seconds)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Return a port at which nobody listens, and that nobody else can take."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as reserved:
        reserved.bind(("127.0.0.1", 0))
        port: int = reserved.getsockname()[1]
        yield port


def places_told(stderr: str, place: Path) -> list[int]:
    """Return the counts of the lines that say how many stay in a place."""
    return [
        int(found[1])
        for line in stderr.splitlines()
        if str(place) in line and (found := re.search(r"\b(\d+) records?\b", line))
    ]


@of_row("exit")
def test_exit_waits_for_a_silent_backend_no_longer_than_told(
    road: Road, silence: threading.Event, tmp_path: Path, strict: bool
) -> None:
    """Exit with events undelivered: at most shutdown_timeout; one line says where."""
    road.fault = silent(silence)
    end = ended_script(
        "job = TrackerApi().job('silence')\n"
        "for _ in range(5): job.send_event(kind='info')\n",
        TRACKERAPI_BASE_URL=road.url,
        TRACKERAPI_API_KEY="key",
        TRACKERAPI_OUTBOX=str(tmp_path / "outbox"),
        TRACKERAPI_SHUTDOWN_TIMEOUT="0.5",
        TRACKERAPI_STRICT=str(int(strict)),
    )

    assert end.seconds <= 0.5 + SLACK_SECONDS
    assert places_told(end.stderr, tmp_path / "outbox") == [5]
    assert end.stderr.count("\n") == 1


@of_row("exit")
def test_exit_does_not_wait_for_a_backend_known_to_be_down(
    closed_port: int, tmp_path: Path, strict: bool
) -> None:
    """Exit with events undelivered: no wait when the backend is known to be down."""
    end = ended_script(
        "job = TrackerApi().create_job('down', 142, 'undescribed')\n"
        "for _ in range(5): job.send_event(kind='info')\n",
        TRACKERAPI_BASE_URL=f"http://127.0.0.1:{closed_port}",
        TRACKERAPI_API_KEY="key",
        TRACKERAPI_OUTBOX=str(tmp_path / "outbox"),
        TRACKERAPI_SHUTDOWN_TIMEOUT="3600",
        TRACKERAPI_STRICT=str(int(strict)),
    )

    assert end.seconds <= SLACK_SECONDS
    assert places_told(end.stderr, tmp_path / "outbox") == [6]


@of_row("exit")
def test_exit_tells_of_events_of_a_tracker_that_was_dropped(
    closed_port: int, tmp_path: Path, strict: bool
) -> None:
    """Exit with events undelivered: also where the script has dropped its tracker."""
    end = ended_script(
        "def main():\n"
        "    job = TrackerApi().job('dropped')\n"
        "    for _ in range(5): job.send_event(kind='info')\n"
        "main()\n",
        TRACKERAPI_BASE_URL=f"http://127.0.0.1:{closed_port}",
        TRACKERAPI_API_KEY="key",
        TRACKERAPI_OUTBOX=str(tmp_path / "outbox"),
        TRACKERAPI_STRICT=str(int(strict)),
    )

    assert places_told(end.stderr, tmp_path / "outbox") == [5]


@of_row("exit")
def test_exit_tells_of_events_that_wait_for_their_job(
    backend: RunningBackend, tmp_path: Path, strict: bool
) -> None:
    """Exit with events undelivered: those of a job not known yet are told too."""
    job_id = str(uuid.uuid4())
    end = ended_script(
        f"tracker = TrackerApi(); job = tracker.job({job_id!r})\n"
        "for _ in range(2): job.send_event(kind='info')\n"
        "assert tracker.flush(timeout=0.5).waiting == 2\n",
        TRACKERAPI_SHUTDOWN_TIMEOUT="2",
        TRACKERAPI_BASE_URL=backend.base_url,
        TRACKERAPI_API_KEY=backend.api_key,
        TRACKERAPI_OUTBOX=str(tmp_path / "outbox"),
        TRACKERAPI_STRICT=str(int(strict)),
    )

    assert end.seconds <= 2.0 + SLACK_SECONDS
    assert places_told(end.stderr, tmp_path / "outbox") == [2]
    assert f"delivers them; the backend does not know job {job_id!r}" in end.stderr


@of_row("exit", "default")
def test_exit_tells_of_events_that_memory_alone_had(
    closed_port: int, tmp_path: Path, strict: bool
) -> None:
    """Exit with events undelivered: what no disk has is not said to stay there."""
    place = below_a_file(tmp_path)
    end = ended_script(
        "job = TrackerApi().create_job('nowhere', 142, 'undescribed')\n"
        "for _ in range(5): job.send_event(kind='info')\n",
        TRACKERAPI_BASE_URL=f"http://127.0.0.1:{closed_port}",
        TRACKERAPI_API_KEY="key",
        TRACKERAPI_OUTBOX=str(place),
        TRACKERAPI_STRICT=str(int(strict)),
    )

    (last,) = [line for line in end.stderr.splitlines() if "6 records" in line]
    assert "lost" in last
    assert f"stay in {place}" not in last


def test_every_row_has_tests_in_both_ways() -> None:
    """No row of the table is without a test, and each test names its row."""
    covered: set[str] = set()
    for name, test in sorted(globals().items()):
        marks = getattr(test, "pytestmark", ())
        ids = {i for m in marks if m.args[0] == "strict" for i in m.kwargs["ids"]}
        if name.startswith("test_") and ids:
            covered |= ids
            rows = {i.rpartition("-")[0] for i in ids}
            assert [test.__doc__.startswith(ROWS[row]) for row in rows] == [True], name

    assert covered == {f"{row}-{way}" for row in ROWS for way in WAYS}
