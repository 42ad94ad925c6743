"""What delivery tells about itself, and how it ends."""

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
    """Deliver in a thread, as for a tracker, until the test is over."""
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


def test_report_of_what_nobody_has_reported_is_empty(
    folder: Path, memory: MemoryBackend
) -> None:
    """To ask for a report opens nothing."""
    with delivering(folder, memory) as delivery:
        report = delivery.report()

    assert (report.delivered, report.waiting, report.held) == (0, 0, 0)
    assert report.dropped == {}
    assert report.oldest_waiting_at is None
    assert report.last_error is None
    assert not folder.exists()


def test_flush_reports_what_was_delivered(folder: Path, memory: MemoryBackend) -> None:
    """After a flush all is there, also kept progress and creations."""
    with delivering(folder, memory) as delivery:
        delivery.record_creation({"provider_job_id": "new"}, "waiting")
        for line in event_lines(3, kind="progress", job="new"):
            delivery.record_newest(line, ("new", "copy", "progress", None))
        delivery.record_event(event_line(job="new"), "new", None)

        report = delivery.flush(PATIENCE_SECONDS)

        assert (report.delivered, report.waiting, report.held) == (3, 0, 0)
        assert report.last_error is None
    assert len(memory.events) == 3


def test_report_tells_what_waits_and_since_when(
    folder: Path, memory: MemoryBackend
) -> None:
    """Who looks while the backend is down learns how much waits, and why."""
    memory.is_down = unavailable(503)
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
        memory.heal()
        assert delivery.flush(PATIENCE_SECONDS).oldest_waiting_at is None


def test_progress_that_is_kept_counts_as_waiting(
    folder: Path, memory: MemoryBackend
) -> None:
    """What is in memory for a second is not forgotten in the report."""
    with delivering(folder, memory, is_online=False) as delivery:
        for line in event_lines(3, kind="progress"):
            delivery.record_newest(line, ("job", "copy", "progress", None))

        assert delivery.report().waiting == 2


def test_event_without_a_job_counts_as_waiting_with_its_time(
    folder: Path, memory: MemoryBackend
) -> None:
    """What waits for its job waits, however long ago it was looked at."""
    with delivering(folder, memory) as delivery:
        delivery.record(event_line(job="late"))
        memory.wait_until(lambda: len(memory.batches) > 0)

        report = delivery.flush(0.1)

        assert (report.waiting, report.held) == (1, 0)
        assert report.oldest_waiting_at == datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_record_on_its_way_from_memory_is_not_reported_as_delivered(
    tmp_path: Path, memory: MemoryBackend
) -> None:
    """A flush does not end before the backend has what no disk would take."""
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


def test_refused_event_is_reported_as_held(folder: Path, memory: MemoryBackend) -> None:
    """A flush tells of what the backend will never take."""
    bad, good = event_lines(2)
    memory.refused_lines[event_id_of(bad)] = problem(422)
    with delivering(folder, memory) as delivery:
        delivery.record(bad)
        delivery.record(good)

        report = delivery.flush(PATIENCE_SECONDS)

        assert (report.delivered, report.waiting, report.held) == (1, 0, 1)


def test_refused_event_of_a_leftover_is_reported_as_held(
    folder: Path, memory: MemoryBackend
) -> None:
    """What others have left and was refused is told, as `trackerapi sync` has to."""
    bad, good = event_lines(2)
    memory.refused_lines[event_id_of(bad)] = problem(422)
    dying = ReportingProcess(folder, memory)
    dying.append(bad, good)
    dying.die()
    with delivering(folder, memory) as delivery:
        report = delivery.flush(PATIENCE_SECONDS)

        assert (report.delivered, report.waiting, report.held) == (1, 0, 1)
        assert delivery.flush(PATIENCE_SECONDS).held == 1


def test_offline_everything_waits(folder: Path, memory: MemoryBackend) -> None:
    """Who records only has all of it for `trackerapi sync`."""
    lines = event_lines(3)
    with delivering(folder, memory, is_online=False) as delivery:
        for line in lines:
            delivery.record(line)

        assert delivery.flush(0.1).waiting == 3
    assert memory.identify_count == 0
    with delivering(folder, memory) as delivery:
        assert delivery.flush(PATIENCE_SECONDS).delivered == 3
    assert list(memory.events.values()) == lines


def test_end_says_how_many_stay_and_where(
    folder: Path, memory: MemoryBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says what to expect of the next start."""
    memory.is_down = unavailable(503)
    with delivering(folder, memory) as delivery:
        delivery.record(event_line())
        delivery.record(event_line())

    (last,) = [entry for entry in caplog.records if "not delivered" in entry.message]
    assert "2 records" in last.message
    assert str(folder) in last.message


def test_end_without_anything_left_says_nothing(
    folder: Path, memory: MemoryBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """A run in which all went well has nothing on stderr."""
    with delivering(folder, memory) as delivery:
        for line in event_lines(100):
            delivery.record(line)

    assert len(memory.events) == 100
    assert caplog.records == []


def test_end_says_what_no_disk_took_and_no_backend_has(
    tmp_path: Path, memory: MemoryBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """What is lost is said to be lost, counted, and not said to stay somewhere."""
    blocked = tmp_path / "a file"
    blocked.write_text("in the way of the outbox")
    memory.is_down = unavailable(503)
    with delivering(blocked, memory) as delivery:
        for line in event_lines(3):
            delivery.record(line)
        delivery.close()
        assert delivery.report().dropped == {"outbox unwritable": 3}

    said = [entry for entry in caplog.records if entry.levelno >= logging.ERROR]
    assert ["3 records were lost: " in entry.message for entry in said] == [True]
    assert not any("stay in" in entry.message for entry in caplog.records)


def test_closed_delivery_begins_anew_with_the_next_record(
    folder: Path, memory: MemoryBackend
) -> None:
    """No report is too late to be delivered."""
    with delivering(folder, memory) as delivery:
        first, second = event_lines(2)
        delivery.record(first)
        delivery.close()
        delivery.record(second)

        assert delivery.flush(PATIENCE_SECONDS).waiting == 0
    assert list(memory.events.values()) == [first, second]


def test_progress_stands_before_the_next_event_of_its_step(
    folder: Path, memory: MemoryBackend
) -> None:
    """The newest progress of a step is written before what ends the step."""
    with delivering(folder, memory, is_online=False) as delivery:
        for number in range(5):
            line = event_line("progress", tag="copy", completed=number)
            delivery.record_newest(line, ("job", "copy", "progress", None))
        delivery.record_event(event_line("step", tag="copy"), "job", "copy")

    (path,) = folder.glob("*.outbox")
    *_, progress, step = path.read_text().splitlines()
    assert '"completed":4' in progress
    assert '"kind":"step"' in step


def test_problem_is_told_once_to_the_log_and_to_the_script(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The same problem a thousand times is one message, of another subject another."""
    told: list[DeliveryProblem] = []
    problems = Problems(told.append)

    for _ in range(3):
        problems.report(JOB_REFUSED, "the first", "job-1")
        problems.report(JOB_REFUSED, "the second", "job-2", level=logging.WARNING)

    assert [one.message for one in told] == ["the first", "the second"]
    assert {one.kind for one in told} == {"job-refused"}
    assert [(e.levelno, e.message) for e in caplog.records] == [
        (logging.ERROR, "the first"),
        (logging.WARNING, "the second"),
    ]


def test_what_a_listener_raises_goes_no_further(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`on_problem` cannot stop a job."""

    def complain(_: DeliveryProblem) -> None:
        raise ValueError("in the script's own code")

    Problems(complain).report(UNREACHABLE, "the backend is down")

    told, raised = [entry.message for entry in caplog.records]
    assert told == "the backend is down"
    assert raised.startswith("on_problem raised")


def test_threads_that_count_at_once_lose_no_count() -> None:
    """Counts are right however many threads report."""
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
