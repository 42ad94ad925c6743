"""Creations without an answer, and creations that the backend rejects.

The title of a test with the mark `in_row` begins with its row of the failure table.
"""

import re
import threading
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tests.support.backend_jobs import deliver, new_job, stored
from tests.support.failure_table import NO_ANSWERS, in_row, levels
from tests.support.gateway import Gateway, reporting
from tests.support.scripted_server import Request, always, problem, silent
from tests.support.scripted_server import http as http_answer
from tests.support.waiting import SLACK_SECONDS
from trackerapi import (
    BackendRejected,
    JobConfig,
    TrackerApi,
    TrackerJob,
)
from trackerapi.delivery import loop
from trackerapi.outbox.held import HeldJournal


@pytest.mark.parametrize("answer", NO_ANSWERS)
@in_row("no-answer")
def test_creation_without_an_answer_stays_undelivered(
    gateway: Gateway,
    config: JobConfig,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    strict: bool,
    answer: str,
) -> None:
    """create_job: no answer: one attempt, one warning; a flush delivers the job."""
    # A delay of an hour, so that only the flush causes the next attempt.
    monkeypatch.setattr(loop, "backoff_seconds", lambda *_, **__: 3600.0)
    gateway.fault = always(NO_ANSWERS[answer])
    with reporting(gateway, strict=strict) as tracker:
        job = tracker.create_job(
            *(str(uuid.uuid4()), 142, config.tag), title="Brain MRI", reference="MR-7"
        )
        job.send_event(kind="step", name="say_hello")
        attempts = gateway.count("POST", "/jobs")
        waiting = tracker.delivery().waiting
        gateway.fault = None
        deliver(tracker)

        seen = job.fetch()
        assert (seen.percent, seen.title, seen.reference) == (
            28.57,
            "Brain MRI",
            "MR-7",
        )
    assert (attempts, waiting) == (1, 2)
    assert levels(caplog) == ["WARNING"]
    assert "cannot be reached" in caplog.text


@in_row("no-answer")
def test_creation_takes_three_seconds_at_most(
    gateway: Gateway, config: JobConfig, silence: threading.Event, strict: bool
) -> None:
    """create_job: no answer: a silent or dripping backend blocks 3 s at most."""

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

    gateway.fault = fault
    tracker = reporting(gateway, strict=strict)
    with tracker, ThreadPoolExecutor(2) as pool:
        ids = [f"{word}-{uuid.uuid4()}" for word in ("silence", "drip")]
        took = list(pool.map(seconds_to_create, ids))

    assert max(took) <= 3.0 + SLACK_SECONDS


@pytest.mark.parametrize("status", [429, 503])
@in_row("no-answer")
def test_creation_is_sent_again_no_sooner_than_the_backend_asks(
    gateway: Gateway, config: JobConfig, strict: bool, status: int
) -> None:
    """create_job: no answer: only `flush()` sends again before Retry-After is over."""
    body = problem(status).partition(b"\r\n\r\n")[2]
    busy = http_answer(
        status, body, "application/problem+json", **{"Retry-After": "30"}
    )
    gateway.fault = lambda request: busy if request.method == "POST" else None
    with reporting(gateway, strict=strict) as tracker:
        new_job(tracker, config)
    assert gateway.count("POST", "/jobs") == 1

    with reporting(gateway, strict=strict) as tracker:
        new_job(tracker, config)
        gateway.fault = None
        report = tracker.flush(timeout=30)

    assert report.waiting == 0


def create_rejected(
    why: str, gateway: Gateway, tracker: TrackerApi, config: JobConfig, job_id: str
) -> TrackerJob:
    """Create a job that the backend rejects with the status in `why`."""
    match why:
        case "404":
            return new_job(tracker, config, job_id, customer_id=999_999)
        case "409-customer":
            with TrackerApi(gateway.backend.api_key, gateway.backend.base_url) as other:
                new_job(other, config, job_id)
            return new_job(tracker, config, job_id, customer_id=1)
        case "409-tag":
            with TrackerApi(gateway.backend.api_key, gateway.backend.base_url) as other:
                new_job(other, config, job_id)
            return tracker.create_job(job_id, 142, f"other {uuid.uuid4()}")
        case "413":
            steps = (replace(config.step_configurations[0], name="x" * 1_260_000),)
            tag = f"huge {uuid.uuid4()}"
            huge = replace(config, tag=tag, step_configurations=steps)
            return tracker.create_job(job_id, 142, tag, config=huge)
        case _:
            refusal = problem(422, detail="The steps have no points.")
            gateway.fault = lambda r: refusal if r.target.endswith("/jobs") else None
            return new_job(tracker, config, job_id)


REFUSALS: Final = ("404", "409-customer", "409-tag", "413", "422")


@pytest.mark.parametrize("why", REFUSALS)
@in_row("content-refused", "default")
def test_rejected_job_runs_and_is_held(
    gateway: Gateway,
    tracker: TrackerApi,
    config: JobConfig,
    caplog: pytest.LogCaptureFixture,
    strict: bool,
    why: str,
) -> None:
    """create_job: refused for its content: records are held; the error has the fix."""
    job_id = str(uuid.uuid4())
    with reporting(gateway, strict=strict) as refused:
        job = create_rejected(why, gateway, refused, config, job_id)
        for _ in range(3):
            job.send_event(kind="info")
        report = refused.flush(timeout=30)

    assert (report.waiting, report.held, report.delivered) == (0, 4, 0)
    assert gateway.count("POST", "/events/batch") == 0
    fix = rf"trackerapi outbox retry --job '?{job_id}'? \[--customer-id N\]"
    (error,) = [m for m in caplog.messages if re.search(fix, m)]
    assert why[:3] in error
    assert set(levels(caplog)) == {"ERROR"}
    if why.startswith("409"):
        assert stored(tracker, job_id) == []
    else:
        assert not list(tracker.list_jobs(provider_job_id=job_id))


@in_row("content-refused", "default")
def test_event_that_was_never_sent_is_not_called_rejected(
    gateway: Gateway, config: JobConfig, caplog: pytest.LogCaptureFixture, strict: bool
) -> None:
    """create_job: refused for its content: only the error of the job is logged."""
    with reporting(gateway, strict=strict) as tracker:
        job = create_rejected("404", gateway, tracker, config, str(uuid.uuid4()))
        job.send_event(kind="info")
        tracker.flush(timeout=30)

    assert gateway.count("POST", "/events/batch") == 0
    assert "refused an event" not in caplog.text
    assert levels(caplog) == ["ERROR"]


@in_row("content-refused", "default")
def test_rejected_job_and_its_events_are_held_with_the_reason(
    gateway: Gateway, config: JobConfig, tmp_path: Path, strict: bool
) -> None:
    """create_job: refused for its content: each held record has a reason."""
    with reporting(gateway, strict=strict, outbox=tmp_path / "outbox") as tracker:
        job = create_rejected("422", gateway, tracker, config, "refused-422")
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
@in_row("content-refused", "strict")
def test_rejected_job_raises(
    gateway: Gateway, config: JobConfig, strict: bool, why: str
) -> None:
    """create_job: refused for its content: BackendRejected; no record is stored."""
    with reporting(gateway, strict=strict) as tracker:
        with pytest.raises(BackendRejected) as caught:
            create_rejected(why, gateway, tracker, config, str(uuid.uuid4()))
        report = tracker.flush(timeout=30)

    assert str(caught.value.status) == why[:3]
    assert (report.waiting, report.held) == (0, 0)


@pytest.mark.parametrize("why", ["404", "422"])
@in_row("refused-later")
def test_deferred_creation_that_is_rejected_is_held(
    gateway: Gateway,
    tracker: TrackerApi,
    config: JobConfig,
    caplog: pytest.LogCaptureFixture,
    strict: bool,
    why: str,
) -> None:
    """Creation that waited is refused later: held and counted by `flush()`."""
    job_id = str(uuid.uuid4())
    refusal = problem(422)
    gateway.fault = always(b"")
    with reporting(gateway, strict=strict) as late:
        job = new_job(late, config, job_id, customer_id=999_999)
        job.send_event(kind="step", name="say_hello")
        waiting = late.delivery()
        gateway.fault = None
        if why == "422":
            gateway.fault = lambda r: refusal if r.target.endswith("/jobs") else None
        report = late.flush(timeout=30)
        job.send_event(kind="step", name="say_bye")
        report_after = late.flush(timeout=30)

    assert (waiting.waiting, waiting.held) == (2, 0)
    assert (report.waiting, report.held) == (0, 2)
    assert (report_after.waiting, report_after.held) == (0, 3)
    fixes = [m for m in caplog.messages if "trackerapi outbox retry --job" in m]
    assert len(fixes) == 1
    assert job_id in fixes[0]
    assert not list(tracker.list_jobs(provider_job_id=job_id))
