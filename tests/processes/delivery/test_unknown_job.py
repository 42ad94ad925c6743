"""Events for a job that the backend does not know.

The title of a test with the mark `in_row` begins with its row of the failure table.
"""

import json
import threading
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.backend_jobs import deliver, new_job, stored
from tests.support.failure_table import in_row, levels
from tests.support.gateway import Gateway, reporting
from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import Request, problem
from tests.support.scripted_server import http as http_answer
from trackerapi import (
    JobConfig,
    TrackerApi,
)


@in_row("unknown-job")
def test_creation_in_another_file_is_sent_for_an_event(
    backend: RunningBackend, config: JobConfig, strict: bool
) -> None:
    """Event for a job the backend does not know: a creation in a live file is sent."""
    where: dict[str, Any] = {"api_key": backend.api_key, "base_url": backend.base_url}
    job_id = str(uuid.uuid4())
    offline = TrackerApi(**where, mode="offline", strict=strict)
    online = TrackerApi(**where, strict=strict)
    with offline, online:
        # `offline` is open, so `online` cannot claim the file with the creation.
        new_job(offline, config, job_id)
        event_id = online.job(job_id).send_event(kind="step", name="say_hello")
        deliver(online)

        assert [event.event_id for event in stored(online, job_id)] == [event_id]
        assert online.get_job(job_id).percent == 28.57


@in_row("unknown-job")
def test_job_that_a_restored_backend_forgot_is_created_again(
    gateway: Gateway, config: JobConfig, strict: bool
) -> None:
    """Event for a job the backend does not know: the job is created again."""
    forgot: list[Request] = []

    def fault(request: Request) -> bytes | None:
        if forgot or not request.target.endswith("/events/batch"):
            return None
        forgot.append(request)
        return unknown_jobs(request)

    gateway.fault = fault
    with reporting(gateway, strict=strict) as tracker:
        job = new_job(tracker, config)
        ids = [job.send_event(kind="step", name=n) for n in ("say_hello", "say_bye")]
        deliver(tracker)

        assert forgot
        assert gateway.count("POST", "/jobs") == 2
        assert [event.event_id for event in stored(tracker, job)] == ids


def unknown_jobs(request: Request) -> bytes:
    """Answer a batch: each event is rejected with 404, as for an unknown job."""
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


@in_row("unknown-job")
def test_event_without_any_creation_is_deferred_in_its_order(
    backend: RunningBackend,
    tracker: TrackerApi,
    config: JobConfig,
    caplog: pytest.LogCaptureFixture,
    strict: bool,
) -> None:
    """Event for a job the backend does not know: deferred until the job exists."""
    job_id = str(uuid.uuid4())
    reported = threading.Event()
    options: dict[str, Any] = {"strict": strict, "on_problem": lambda _: reported.set()}
    with TrackerApi(backend.api_key, backend.base_url, **options) as early:
        job = early.job(job_id)
        ids = [job.send_event(kind="info")]
        assert reported.wait(30)
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
@in_row("unknown-job")
def test_event_is_held_after_seven_days(
    backend: RunningBackend,
    tmp_path: Path,
    strict: bool,
    days: int,
    counts: tuple[int, int],
) -> None:
    """Event for a job the backend does not know: held after 7 days."""
    reported = threading.Event()
    options: dict[str, Any] = {"outbox": tmp_path / "outbox", "strict": strict}
    options["on_problem"] = lambda _: reported.set()
    where = (backend.api_key, backend.base_url)
    with TrackerApi(*where, **options) as tracker:
        tracker.job(str(uuid.uuid4())).send_event(kind="info")
        assert reported.wait(30)
    (journal,) = (tmp_path / "outbox").glob("*.held")
    since = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")
    kept = json.loads(journal.read_text())
    journal.write_text(json.dumps({**kept, "since": since}) + "\n")
    with TrackerApi(*where, **options) as later:
        report = later.flush(timeout=1.0 if days < 7 else 30)

    assert (report.waiting, report.held) == counts
