"""Delivery reports, limits of an outbox, `flush()` and problems."""

import contextlib
import threading
import time
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.backend_jobs import deliver, new_job, stored
from tests.support.gateway import Gateway
from tests.support.outbox_folders import below_a_file, records
from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import KEY, NOWHERE, always, silent
from tests.support.waiting import SLACK_SECONDS, await_true
from trackerapi import (
    DeliveryProblem,
    DeliveryReport,
    JobConfig,
    TrackerApi,
    TrackerJob,
)


def test_report_counts_delivered_events(
    backend: RunningBackend, config: JobConfig
) -> None:
    """`delivered` counts events, but no creations of jobs."""
    with TrackerApi(backend.api_key, backend.base_url) as tracker:
        job = new_job(tracker, config)
        for _ in range(3):
            job.send_event(kind="info")
        report = tracker.flush(timeout=30)

        assert report == DeliveryReport(delivered=3)
        assert tracker.delivery() == report
        job.send_event(kind="info")
        assert tracker.flush(timeout=30).delivered == 4


def test_report_counts_leftover_records(
    backend: RunningBackend, job: TrackerJob, outbox: Path
) -> None:
    """Leftover records are counted as delivered by the tracker that delivers them."""
    where: dict[str, Any] = {"api_key": backend.api_key, "base_url": backend.base_url}
    with TrackerApi(**where, mode="offline", outbox=outbox) as left:
        for _ in range(3):
            left.job(job.provider_job_id).send_event(kind="info")
    with TrackerApi(**where, outbox=outbox) as following:
        assert following.flush(timeout=30) == DeliveryReport(delivered=3)


def test_report_has_time_and_reason_of_undelivered_records(
    gateway: Gateway, config: JobConfig
) -> None:
    """An outage sets `oldest_waiting_at` and `last_error`; delivery resets both."""
    moment = datetime.now(UTC) - timedelta(hours=1)
    gateway.fault = always(b"")
    options: dict[str, Any] = {
        "api_key": gateway.backend.api_key,
        "base_url": gateway.url,
    }
    with TrackerApi(**options, shutdown_timeout=0) as tracker:
        job = new_job(tracker, config)
        job.send_event(kind="info", occurred_at=moment)
        job.send_event(kind="info")
        down = tracker.flush(timeout=0.2)
        seen = tracker.delivery()
        gateway.fault = None
        deliver(tracker)
        up = tracker.delivery()

    assert (down.delivered, down.waiting, down.held) == (0, 3, 0)
    assert down.oldest_waiting_at == moment
    assert down.last_error
    assert "127.0.0.1" in down.last_error
    assert (seen.waiting, seen.oldest_waiting_at) == (3, moment)
    assert up == DeliveryReport(delivered=2)


@pytest.mark.parametrize("where", ["memory", "unknown job"])
def test_report_has_the_time_of_the_oldest_event_outside_of_files(
    gateway: Gateway, tmp_path: Path, where: str
) -> None:
    """`oldest_waiting_at` covers events in memory and deferred events in a journal."""
    moment = datetime.now(UTC) - timedelta(hours=1)
    outbox = below_a_file(tmp_path) if where == "memory" else tmp_path / "outbox"
    gateway.fault = always(b"") if where == "memory" else None
    key = gateway.backend.api_key
    with TrackerApi(key, gateway.url, outbox=outbox, shutdown_timeout=0) as tracker:
        job = tracker.job(str(uuid.uuid4()))
        job.send_event(kind="info", occurred_at=moment)
        job.send_event(kind="info")
        report = tracker.flush(timeout=0.5)

    assert report.waiting == 2
    assert report.oldest_waiting_at == moment


def test_full_outbox_drops_old_timeline_lines_and_counts_them(
    outbox: Path,
) -> None:
    """Above `outbox_limit_bytes`, old `info` events are dropped, but no `step`."""
    options: dict[str, Any] = {"outbox": outbox, "outbox_limit_bytes": 64 * 1024}
    ids: dict[str, list[str]] = {"step": [], "info": []}
    with TrackerApi(KEY, NOWHERE, mode="offline", **options) as tracker:
        job = tracker.job("full")
        for number in range(5000):
            kind = "step" if number % 100 == 0 else "info"
            ids[kind].append(job.send_event(kind=kind, name=f"step {number}"))
            # Wait: the delivery thread must drop events before the next batch.
            if number % 250 == 0:
                await_true(lambda: tracker.delivery().waiting < 500, 60)
        await_true(lambda: tracker.delivery().waiting < 1000, 60)

        def is_settled() -> bool:
            # The delivery thread may still replace the file by a smaller file.
            with contextlib.suppress(FileNotFoundError, ValueError):
                return tracker.delivery().waiting == len(records(outbox))
            return False

        await_true(is_settled, 60)
    # Read the report after the end: the delivery thread has dropped its last event.
    report = tracker.delivery()

    kept = [each["event_id"] for each in records(outbox)]
    assert sum(p.stat().st_size for p in outbox.iterdir()) <= 2 * 64 * 1024
    assert len(kept) == len(set(kept))
    assert sum(report.dropped.values()) == 5000 - len(kept)
    assert set(ids["step"]) <= set(kept)
    assert ids["info"][-1] in kept
    assert ids["info"][0] not in kept


@pytest.mark.parametrize("timeout", [0, 0.3])
def test_flush_waits_no_longer_than_its_timeout(
    gateway: Gateway, job: TrackerJob, timeout: float
) -> None:
    """With a silent backend, `flush()` returns after its timeout, 0 or 0.3 s."""
    ended = threading.Event()
    gateway.fault = silent(ended)
    key = gateway.backend.api_key
    with TrackerApi(key, gateway.url, shutdown_timeout=0) as tracker:
        tracker.job(job.provider_job_id).send_event(kind="info")
        began = time.monotonic()
        report = tracker.flush(timeout=timeout)
        seconds = time.monotonic() - began
        began = time.monotonic()
        looked = tracker.delivery()
        seconds_to_look = time.monotonic() - began
        ended.set()

    assert seconds <= timeout + SLACK_SECONDS
    assert seconds_to_look <= SLACK_SECONDS
    assert report.waiting == looked.waiting == 1


@pytest.mark.parametrize(
    ("timeout", "error"), [(-1, ValueError), ("1", TypeError), (True, TypeError)]
)
def test_flush_rejects_a_wrong_timeout(timeout: Any, error: type[Exception]) -> None:
    """A negative timeout raises ValueError, a text or a bool TypeError."""
    with TrackerApi(KEY, NOWHERE, mode="offline") as tracker, pytest.raises(error):
        tracker.flush(timeout=timeout)


def test_problem_is_reported_once_of_each_kind(
    gateway: Gateway, config: JobConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """`on_problem` is called once per kind, with a message that is also logged."""
    reported: list[DeliveryProblem] = []
    gateway.fault = always(b"")
    key = gateway.backend.api_key
    with TrackerApi(
        key, gateway.url, on_problem=reported.append, shutdown_timeout=0
    ) as tracker:
        for _ in range(2):
            job = new_job(tracker, config)
            for _ in range(3):
                job.send_event(kind="info", metadata={"At": object()})
                job.send_event(kind="step", name="say_helo")
        tracker.flush(timeout=0.5)

    assert Counter(problem.kind for problem in reported) == {
        "unreachable": 1,
        "metadata": 1,
        "step": 1,
    }
    assert all(problem.message in caplog.messages for problem in reported)


def test_callback_that_raises_breaks_neither_job_nor_delivery(
    gateway: Gateway, config: JobConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception raised by `on_problem` is logged; delivery continues."""
    reported = {kind: threading.Event() for kind in ("unreachable", "job-unknown")}
    threads: set[str] = set()

    def raising(problem: DeliveryProblem) -> None:
        threads.add(threading.current_thread().name)
        reported.get(problem.kind, threading.Event()).set()
        raise RuntimeError("of the author")

    gateway.fault = always(b"")
    with TrackerApi(
        gateway.backend.api_key, gateway.url, on_problem=raising
    ) as tracker:
        tracker.job(str(uuid.uuid4())).send_event(kind="info")
        assert reported["unreachable"].wait(30)  # called by the delivery thread
        job = new_job(tracker, config)
        ids = [job.send_event(kind="info", metadata={"At": object()})]
        gateway.fault = None
        tracker.flush(timeout=1.0)
        assert reported["job-unknown"].wait(30)  # the delivery thread goes on

        await_true(lambda: bool(stored(tracker, job)), 30)
        assert [event.event_id for event in stored(tracker, job)] == ids
    assert threads == {threading.current_thread().name, "trackerapi-delivery"}
    assert "on_problem raised" in caplog.text
