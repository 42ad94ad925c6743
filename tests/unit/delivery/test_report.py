"""Delivery reports, and the close of a delivery."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.lines import event_id_of, event_line, event_lines
from tests.support.memory_backend import (
    PATIENCE_SECONDS,
    MemoryBackend,
    problem,
    unavailable,
)
from tests.support.reporting_process import BINDING, PLENTY, ReportingProcess
from trackerapi.delivery.delivery import Delivery, DeliveryOptions
from trackerapi.outbox.counters import Counters
from trackerapi.outbox.outbox import OutboxOptions
from trackerapi.problems import JOB_REFUSED, UNREACHABLE, DeliveryProblem, Problems


@contextmanager
def delivering(
    folder: Path | None,
    memory: MemoryBackend,
    *,
    is_online: bool = True,
    shutdown_timeout_seconds: float = PATIENCE_SECONDS,
) -> Iterator[Delivery]:
    """Yield a delivery; close it and join its threads at the end of the block."""
    options = DeliveryOptions(
        outbox=OutboxOptions(folder=folder, limit_bytes=PLENTY),
        is_online=is_online,
        shutdown_timeout_seconds=shutdown_timeout_seconds,
    )
    before = set(threading.enumerate())
    delivery = Delivery(options, lambda: BINDING, lambda: memory, Problems())
    try:
        yield delivery
    finally:
        delivery.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def test_report_without_records_is_empty(folder: Path, memory: MemoryBackend) -> None:
    """Without records a report is empty, and no outbox folder is created."""
    with delivering(folder, memory) as delivery:
        report = delivery.report()

    assert (report.delivered, report.waiting, report.held) == (0, 0, 0)
    assert report.dropped == {}
    assert report.oldest_waiting_at is None
    assert report.last_error is None
    assert not folder.exists()


def test_flush_reports_delivered_records(folder: Path, memory: MemoryBackend) -> None:
    """`flush()` delivers pending progress; creations do not count as delivered."""
    with delivering(folder, memory) as delivery:
        delivery.record_creation({"provider_job_id": "new"}, "waiting")
        for line in event_lines(3, kind="progress", job="new"):
            delivery.record_newest(line, ("new", "copy", "progress", None))
        delivery.record_event(event_line(job="new"), "new", None)

        report = delivery.flush(PATIENCE_SECONDS)

        assert (report.delivered, report.waiting, report.held) == (3, 0, 0)
        assert report.last_error is None
    assert len(memory.events) == 3


def test_report_counts_undelivered_records_and_names_the_oldest(
    folder: Path, memory: MemoryBackend
) -> None:
    """During an outage the report has the count, the oldest time and the last error."""
    memory.outage = unavailable(503)
    with delivering(folder, memory) as delivery:
        for minute in (5, 6):
            line = event_line(occurred_at=f"2026-11-24T12:0{minute}:00.000000Z")
            delivery.record(line)
        delivery.flush(0.1)
        memory.wait_until(lambda: memory.identify_count > 0)

        report = delivery.flush(0.1)

        assert report.waiting == 2
        assert report.delivered == 0
        assert report.oldest_waiting_at == datetime(2026, 11, 24, 12, 5, tzinfo=UTC)
        assert report.last_error == "no usable answer (503)"
        memory.recover()
        assert delivery.flush(PATIENCE_SECONDS).oldest_waiting_at is None


def test_pending_progress_counts_as_undelivered(
    folder: Path, memory: MemoryBackend
) -> None:
    """A written and a pending progress record both count as undelivered."""
    with delivering(folder, memory, is_online=False) as delivery:
        for line in event_lines(3, kind="progress"):
            delivery.record_newest(line, ("job", "copy", "progress", None))

        assert delivery.report().waiting == 2


def test_deferred_event_counts_as_undelivered_with_its_time(
    folder: Path, memory: MemoryBackend
) -> None:
    """An event of an unknown job counts as waiting, and its time as the oldest time."""
    with delivering(folder, memory) as delivery:
        delivery.record(event_line(job="late"))
        memory.wait_until(lambda: len(memory.batches) > 0)

        report = delivery.flush(0.1)

        assert (report.waiting, report.held) == (1, 0)
        assert report.oldest_waiting_at == datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_record_in_flight_from_memory_is_not_reported_as_delivered(
    tmp_path: Path, memory: MemoryBackend
) -> None:
    """A record in memory counts as waiting until its request is answered."""
    blocked = tmp_path / "a file"
    blocked.write_text("in the way of the outbox")
    is_reached, is_open = threading.Event(), threading.Event()

    def gate(kind: str) -> None:
        if kind == "send":
            is_reached.set()
            is_open.wait(PATIENCE_SECONDS)

    memory.on_request = gate
    with delivering(blocked, memory) as delivery:
        try:
            delivery.record(event_line())
            assert is_reached.wait(PATIENCE_SECONDS)

            report = delivery.flush(0.1)
        finally:
            is_open.set()

        assert (report.delivered, report.waiting) == (0, 1)
        assert delivery.flush(PATIENCE_SECONDS).delivered == 1


def test_rejected_event_is_reported_as_held(
    folder: Path, memory: MemoryBackend
) -> None:
    """The report counts a rejected event as held, not as waiting."""
    bad, good = event_lines(2)
    memory.rejected_events[event_id_of(bad)] = problem(422)
    with delivering(folder, memory) as delivery:
        delivery.record(bad)
        delivery.record(good)

        report = delivery.flush(PATIENCE_SECONDS)

        assert (report.delivered, report.waiting, report.held) == (1, 0, 1)


def test_rejected_event_of_a_leftover_is_reported_as_held(
    folder: Path, memory: MemoryBackend
) -> None:
    """Each report counts the rejected events of leftover files as held."""
    bad, good = event_lines(2)
    memory.rejected_events[event_id_of(bad)] = problem(422)
    dying = ReportingProcess(folder, memory)
    dying.append(bad, good)
    dying.kill()
    with delivering(folder, memory) as delivery:
        report = delivery.flush(PATIENCE_SECONDS)

        assert (report.delivered, report.waiting, report.held) == (1, 0, 1)
        assert delivery.flush(PATIENCE_SECONDS).held == 1


def test_offline_records_are_undelivered(folder: Path, memory: MemoryBackend) -> None:
    """Offline records count as waiting; a later online delivery sends them."""
    lines = event_lines(3)
    with delivering(folder, memory, is_online=False) as delivery:
        for line in lines:
            delivery.record(line)

        assert delivery.flush(0.1).waiting == 3
    assert memory.identify_count == 0
    with delivering(folder, memory) as delivery:
        assert delivery.flush(PATIENCE_SECONDS).delivered == 3
    assert list(memory.events.values()) == lines


def test_close_logs_count_and_folder_of_undelivered_records(
    folder: Path, memory: MemoryBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """A close logs one line with the number of undelivered records and the folder."""
    memory.outage = unavailable(503)
    with delivering(folder, memory) as delivery:
        delivery.record(event_line())
        delivery.record(event_line())

    (last,) = [entry for entry in caplog.records if "not delivered" in entry.message]
    assert "2 records" in last.message
    assert str(folder) in last.message


def test_close_without_undelivered_records_logs_nothing(
    folder: Path, memory: MemoryBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """A close after a complete delivery logs nothing."""
    with delivering(folder, memory) as delivery:
        for line in event_lines(100):
            delivery.record(line)

    assert len(memory.events) == 100
    assert caplog.records == []


def test_close_logs_records_that_are_lost(
    tmp_path: Path, memory: MemoryBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """Records that neither disk nor backend accepts are logged and counted as lost."""
    blocked = tmp_path / "a file"
    blocked.write_text("in the way of the outbox")
    memory.outage = unavailable(503)
    with delivering(blocked, memory) as delivery:
        for line in event_lines(3):
            delivery.record(line)
        delivery.close()
        assert delivery.report().dropped == {"outbox unwritable": 3}

    errors = [entry for entry in caplog.records if entry.levelno >= logging.ERROR]
    assert ["3 records were lost: " in entry.message for entry in errors] == [True]
    assert not any("stay in" in entry.message for entry in caplog.records)


def test_closed_delivery_starts_again_with_the_next_record(
    folder: Path, memory: MemoryBackend
) -> None:
    """A record after `close()` starts the delivery again and is delivered."""
    with delivering(folder, memory) as delivery:
        first, second = event_lines(2)
        delivery.record(first)
        delivery.close()
        delivery.record(second)

        assert delivery.flush(PATIENCE_SECONDS).waiting == 0
    assert list(memory.events.values()) == [first, second]


def test_progress_precedes_the_next_event_of_its_step(
    folder: Path, memory: MemoryBackend
) -> None:
    """The newest progress of a step is written before the end of the step."""
    with delivering(folder, memory, is_online=False) as delivery:
        for number in range(5):
            line = event_line("progress", tag="copy", completed=number)
            delivery.record_newest(line, ("job", "copy", "progress", None))
        delivery.record_event(event_line("step", tag="copy"), "job", "copy")

    (path,) = folder.glob("*.outbox")
    *_, progress, step = path.read_text().splitlines()
    assert '"completed":4' in progress
    assert '"kind":"step"' in step


def test_problem_is_reported_once_to_log_and_script(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Repeated problems of one kind and subject are logged and passed on once."""
    reported: list[DeliveryProblem] = []
    problems = Problems(reported.append)

    for _ in range(3):
        problems.report(JOB_REFUSED, "the first", "job-1")
        problems.report(JOB_REFUSED, "the second", "job-2", level=logging.WARNING)

    assert [one.message for one in reported] == ["the first", "the second"]
    assert {one.kind for one in reported} == {"job-refused"}
    assert [(e.levelno, e.message) for e in caplog.records] == [
        (logging.ERROR, "the first"),
        (logging.WARNING, "the second"),
    ]


def test_exception_of_a_callback_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An exception of `on_problem` is logged and not raised."""

    def complain(_: DeliveryProblem) -> None:
        raise ValueError("in the script's own code")

    Problems(complain).report(UNREACHABLE, "the backend is down")

    reported, raised = [entry.message for entry in caplog.records]
    assert reported == "the backend is down"
    assert raised.startswith("on_problem raised")


def test_threads_that_count_at_once_lose_no_count() -> None:
    """Four threads count 2,000 records each, and no count is lost."""
    counters = Counters()

    def count() -> None:
        for _ in range(2000):
            counters.count_delivered(1)
            counters.count_dropped("outbox full")
            counters.count_dropped("nothing", 0)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counters.delivered == 8000
    assert counters.dropped == {"outbox full": 8000}
