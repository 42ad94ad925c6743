"""The delivery loop: times of requests, pauses, and survival of errors."""

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Self

import pytest

from tests.support.lines import (
    creation_line,
    event_id_of,
    event_line,
    event_lines,
)
from tests.support.memory_backend import (
    PATIENCE_SECONDS,
    Fault,
    MemoryBackend,
    key_refused,
    lost_answer,
    problem,
    unavailable,
)
from tests.support.pauses import Pauses
from tests.support.reporting_process import ReportingProcess
from trackerapi.delivery import loop as loop_module
from trackerapi.delivery.conflation import INTERVAL_SECONDS, Conflation
from trackerapi.delivery.loop import (
    LINGER_SECONDS,
    MAX_BACKOFF_SECONDS,
    DeliveryLoop,
)
from trackerapi.delivery.passes import LEFTOVER_SEARCH_SECONDS
from trackerapi.outbox.held import HeldJournal

AN_HOUR: Final = 3600.0


class Gate:
    """Gate that blocks requests of one kind until `open()` is called.

    Attributes:
        is_reached: Set when a request has reached the gate.
    """

    def __init__(self, memory: MemoryBackend, kind: str = "send") -> None:
        self.is_reached = threading.Event()
        self._is_open = threading.Event()
        self._kind = kind
        memory.on_request = self._pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.open()

    def wait(self) -> None:
        """Wait until a request is blocked."""
        assert self.is_reached.wait(PATIENCE_SECONDS), (
            f"no request within {PATIENCE_SECONDS:g} s"
        )

    def open(self) -> None:
        """Let all requests pass from now on."""
        self._is_open.set()

    def _pass(self, kind: str) -> None:
        if kind == self._kind:
            self.is_reached.set()
            self._is_open.wait(PATIENCE_SECONDS)


def is_alive(loop: DeliveryLoop) -> bool:
    """Return whether the thread of a delivery loop runs."""
    return loop._thread is not None and loop._thread.is_alive()


@contextmanager
def running(loop: DeliveryLoop, process: ReportingProcess) -> Iterator[DeliveryLoop]:
    """Run a delivery loop until the end of the test."""
    loop.start()
    try:
        yield loop
    finally:
        loop.stop(process.outbox.close(), wait_seconds=PATIENCE_SECONDS)
    assert not is_alive(loop)


def record(process: ReportingProcess, loop: DeliveryLoop, *lines: bytes) -> None:
    """Append lines, and wake the loop if it sleeps, as a report does."""
    for line in lines:
        process.append(line)
        if loop.is_asleep:
            loop.wake()


def wait_in_thread(wait: Callable[[], object]) -> threading.Thread:
    """Call `wait` in a daemon thread; return the thread."""
    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def returns_soon(wait: Callable[[], object]) -> bool:
    """Return whether `wait()` returns within `PATIENCE_SECONDS`."""
    thread = wait_in_thread(wait)
    thread.join(PATIENCE_SECONDS)
    return not thread.is_alive()


def without_backoff(
    attempt: int, *, retry_after_seconds: float | None = None, **_: Any
) -> float:
    """Return the `Retry-After` of the backend, or 0.0, as the backoff."""
    return retry_after_seconds or 0.0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make delivery loops retry without a backoff."""
    monkeypatch.setattr(loop_module, "backoff_seconds", without_backoff)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the backoff of delivery loops to one hour."""
    monkeypatch.setattr(loop_module, "backoff_seconds", lambda *_, **__: AN_HOUR)


def test_record_is_delivered_without_a_flush(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A running loop delivers each record without a call of `flush()`."""
    with running(DeliveryLoop(process.parts), process) as loop:
        for line in event_lines(3):
            record(process, loop, line)
            memory.wait_until(lambda line=line: event_id_of(line) in memory.events)  # type: ignore[misc]
        assert loop.is_down is False


def test_record_wakes_a_sleeping_loop(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A record wakes a loop that sleeps until its next search for leftover files."""
    loop = DeliveryLoop(process.parts)
    pauses = Pauses.of(loop)
    with running(loop, process):
        pauses.wait_for(LEFTOVER_SEARCH_SECONDS)
        line = event_line()
        record(process, loop, line)
        memory.wait_until(lambda: event_id_of(line) in memory.events)


def test_wake_up_may_be_interrupted_by_a_wake_up(
    process: ReportingProcess,
) -> None:
    """`wake()` does not deadlock when called at any opcode of another `wake()`."""
    loop = DeliveryLoop(process.parts)

    def interrupt(frame: FrameType, _event: str, _argument: object) -> Any:
        frame.f_trace_opcodes = True
        loop.wake()
        return interrupt

    def wake() -> None:
        sys.settrace(interrupt)
        loop.wake()
        sys.settrace(None)

    thread = threading.Thread(target=wake, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


def test_records_during_a_request_share_the_next_batches(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """5,000 records of a burst are sent in six batches at most."""
    with running(DeliveryLoop(process.parts), process) as loop, Gate(memory) as gate:
        lines = event_lines(5000)
        record(process, loop, lines[0])
        gate.wait()
        record(process, loop, *lines[1:])
        gate.open()
        memory.wait_until(lambda: event_id_of(lines[-1]) in memory.events)

    assert list(memory.events.values()) == lines
    assert len(memory.batches) <= 6


def test_loop_lingers_after_a_batch(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """After a batch the loop pauses for `LINGER_SECONDS` before its long pause."""
    loop = DeliveryLoop(process.parts)
    pauses = Pauses.of(loop)
    process.append(event_line())
    with running(loop, process):
        pauses.wait_for(LEFTOVER_SEARCH_SECONDS)

    assert pauses.seconds[:2] == [LINGER_SECONDS, LEFTOVER_SEARCH_SECONDS]
    assert LINGER_SECONDS <= 0.2


def test_full_batches_follow_each_other_without_a_pause(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A loop with many records does not linger between full batches."""
    loop = DeliveryLoop(process.parts)
    pauses = Pauses.of(loop)
    process.append(*event_lines(6000, message="x" * 200))
    with running(loop, process):
        pauses.wait_for(LEFTOVER_SEARCH_SECONDS)

    assert memory.line_counts == [1000] * 6
    assert pauses.seconds.count(LINGER_SECONDS) <= 2
    assert all(
        one in (LINGER_SECONDS, LEFTOVER_SEARCH_SECONDS) for one in pauses.seconds
    )


def test_idle_loop_runs_no_passes(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A loop that wakes up without new records sends no request."""
    loop = DeliveryLoop(process.parts)
    pauses = Pauses.of(loop)
    process.append(event_line())
    with running(loop, process):
        pauses.wait_for(LEFTOVER_SEARCH_SECONDS)
        pause_count = len(pauses.seconds)
        loop.wake()  # No record is pending.
        pauses.wait_until(lambda: len(pauses.seconds) > pause_count)

        assert pauses.seconds[pause_count:] == [LEFTOVER_SEARCH_SECONDS]
        assert len(memory.batches) == 1
        assert memory.identify_count == 1


def test_loop_without_records_sends_no_request(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A process without reports sends no request."""
    loop = DeliveryLoop(process.parts)
    pauses = Pauses.of(loop)
    with running(loop, process):
        pauses.wait_for(LEFTOVER_SEARCH_SECONDS)

    assert memory.identify_count == 0
    assert loop.is_down is None


def test_flush_ignores_retry_after(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """`flush()` sends before a `Retry-After` of one hour ends; a close does not."""
    memory.fail_next("send", unavailable(429, retry_after_seconds=AN_HOUR))
    loop = DeliveryLoop(process.parts)
    pauses = Pauses.of(loop)
    with running(loop, process):
        record(process, loop, event_line())
        pauses.wait_for(AN_HOUR - 60)
        pause_count = len(pauses.seconds)

        loop.flush(0.1, stops_if_down=True)
        pauses.wait_for(AN_HOUR - 60, behind=pause_count)
        assert len(memory.batches) == 1  # A close (`stops_if_down`) does not send.

        loop.flush(PATIENCE_SECONDS, stops_if_down=False)

        assert len(memory.batches) == 2
        assert process.outbox.undelivered_count == 0


def test_rejected_key_is_tried_again_within_a_minute(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """Despite `Retry-After: 3600` a rejected key is tried again within a minute."""
    memory.fail_next("identify", key_refused(retry_after_seconds=AN_HOUR))
    loop = DeliveryLoop(process.parts)
    pauses = Pauses.of(loop)
    with running(loop, process):
        record(process, loop, event_line())
        pauses.wait_until(lambda: loop.key_error is not None)
        assert max(pauses.seconds) <= LEFTOVER_SEARCH_SECONDS

        loop.flush(PATIENCE_SECONDS, stops_if_down=False)

        assert memory.identify_count == 2


@pytest.mark.usefixtures("patient")
def test_flush_cuts_short_a_backoff(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """`flush()` during a backoff of one hour sends without waiting for its end."""
    memory.fail_next("send", unavailable(503))
    loop = DeliveryLoop(process.parts)
    pauses = Pauses.of(loop)
    with running(loop, process):
        record(process, loop, event_line())
        pauses.wait_for(AN_HOUR - 60)
        assert loop.is_down
        assert process.counters.last_error is not None

        loop.flush(PATIENCE_SECONDS, stops_if_down=False)

        assert len(memory.events) == 1
        assert loop.is_down is False
        assert process.counters.last_error is None


def test_backoff_grows_with_failures_and_is_bounded(
    process: ReportingProcess, memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`backoff_seconds()` gets the number of failures since the last success."""
    asked: list[tuple[int, float]] = []

    def note(attempt: int, *, longest_seconds: float, **_: Any) -> float:
        asked.append((attempt, longest_seconds))
        return 0.0

    monkeypatch.setattr(loop_module, "backoff_seconds", note)
    fault = unavailable(503)
    memory.fail_next("send", fault, fault, fault, None, fault)
    with running(DeliveryLoop(process.parts), process) as loop:
        for line in event_lines(2):
            record(process, loop, line)
            memory.wait_until(lambda line=line: event_id_of(line) in memory.events)  # type: ignore[misc]

    assert [attempt for attempt, _ in asked] == [1, 2, 3, 1]
    assert {longest for _, longest in asked} == {MAX_BACKOFF_SECONDS}
    assert MAX_BACKOFF_SECONDS <= 60


@pytest.mark.usefixtures("impatient")
def test_outage_is_logged_once_until_it_is_over(
    process: ReportingProcess, memory: MemoryBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """A hundred 503 answers log one warning: the records wait in the outbox."""
    memory.fail_next("send", *[unavailable(503)] * 100)
    with running(DeliveryLoop(process.parts), process) as loop:
        line = event_line()
        record(process, loop, line)
        memory.wait_until(lambda: event_id_of(line) in memory.events)

    assert process.reported_kinds == ["unreachable"]
    assert "wait in the outbox" in process.reported[0].message
    assert [entry.levelno for entry in caplog.records] == [logging.WARNING]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["identify", "send", "create_job"])
@pytest.mark.parametrize("status", [401, 403])
def test_rejected_key_is_read_again_and_all_is_delivered(
    process: ReportingProcess,
    memory: MemoryBackend,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    status: int,
) -> None:
    """After 401 or 403 the key is read again; all records arrive without a restart."""
    memory.fail_next(kind, *[key_refused(status)] * 3)
    with running(DeliveryLoop(process.parts), process) as loop:
        line = event_line(job="new")
        record(process, loop, creation_line("new"), line)
        memory.wait_until(lambda: event_id_of(line) in memory.events)

    assert memory.reload_count == 3
    assert process.reported_kinds == ["key-refused"]
    assert [entry.levelno for entry in caplog.records] == [logging.ERROR]
    assert loop.key_error is None


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "error",
    [
        ValueError("no JSON"),
        RuntimeError("cannot schedule new futures after shutdown"),
        AssertionError("impossible"),
        RecursionError("too deep"),
        MemoryError("too much"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        KeyError("x"),
        StopIteration(),
        TimeoutError("a bare one"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("kind", ["identify", "send", "create_job"])
def test_loop_survives_every_error_of_a_sender(
    process: ReportingProcess,
    memory: MemoryBackend,
    error: Exception,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An exception of the sender does not end the loop: the records arrive later."""
    monkeypatch.setattr(loop_module, "_DISK_RETRY_SECONDS", 0.0)
    memory.fail_next(kind, Fault(error), Fault(error))
    with running(DeliveryLoop(process.parts), process) as loop:
        line = event_line(job="new")
        record(process, loop, creation_line("new"), line)
        memory.wait_until(lambda: event_id_of(line) in memory.events)
        assert is_alive(loop)


@pytest.mark.usefixtures("impatient")
def test_loop_survives_a_sender_that_cannot_be_made(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A sender whose creation raised is created again; the record arrives."""
    failures = [ImportError("no httpx"), ValueError("a bad proxy")]

    def make() -> MemoryBackend:
        if failures:
            raise failures.pop()
        return memory

    process.parts.sender = make
    with running(DeliveryLoop(process.parts), process) as loop:
        line = event_line()
        record(process, loop, line)
        memory.wait_until(lambda: event_id_of(line) in memory.events)

    assert failures == []


@pytest.mark.usefixtures("impatient")
def test_loop_survives_a_callback_that_raises(
    folder: Path, memory: MemoryBackend
) -> None:
    """An exception of `on_problem` does not end the loop."""

    def complain(_: object) -> None:
        raise RuntimeError("in on_problem")

    process = ReportingProcess(folder, memory)
    process.problems._on_problem = complain
    memory.fail_next("send", unavailable(503), lost_answer())
    with running(DeliveryLoop(process.parts), process) as loop:
        line = event_line()
        record(process, loop, line)
        memory.wait_until(lambda: event_id_of(line) in memory.events)


@pytest.mark.parametrize("fault", [unavailable(503), key_refused()])
@pytest.mark.usefixtures("patient")
def test_close_does_not_wait_for_an_unavailable_backend(
    process: ReportingProcess, memory: MemoryBackend, fault: Fault
) -> None:
    """A close returns without waiting if the last request failed."""
    memory.outage = fault
    loop = DeliveryLoop(process.parts)
    pauses = Pauses.of(loop)
    with running(loop, process):
        record(process, loop, event_line())
        pauses.wait_for(AN_HOUR - 60)

        assert returns_soon(lambda: loop.flush(AN_HOUR, stops_if_down=True))
        assert process.outbox.undelivered_count == 1


def test_failed_create_job_marks_the_loop_as_down(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A failed `create_job()` marks the loop as down and sets the last error."""
    loop = DeliveryLoop(process.parts)

    loop.note_failure(unavailable(503).error)  # type: ignore[arg-type]

    assert loop.is_down
    assert process.counters.last_error == "no usable answer (503)"


def test_flush_ends_when_all_is_delivered(
    folder: Path, process: ReportingProcess, memory: MemoryBackend
) -> None:
    """`flush()` returns after own records, progress and leftovers are delivered."""
    dying = ReportingProcess(folder, memory)
    dying.append(*event_lines(3))
    dying.kill()
    with running(DeliveryLoop(process.parts), process) as loop:
        record(process, loop, *event_lines(2000))
        conflation = process.parts.conflation
        for line in event_lines(3, kind="progress"):
            conflation.offer(("job", "copy", "progress", None), line)
        conflation.write_all()

        loop.flush(PATIENCE_SECONDS, stops_if_down=False)

        assert len(memory.events) == 3 + 2000 + 2
        assert process.outbox.is_empty


def test_wait_ends_for_deferred_records_when_the_pass_is_over(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A close does not wait for deferred records; a later flush delivers them."""
    with running(DeliveryLoop(process.parts), process) as loop:
        record(process, loop, event_line(job="late"))

        assert returns_soon(lambda: loop.flush(AN_HOUR, stops_if_down=True))
        loop.flush(0.1, stops_if_down=False)
        assert loop.passes.has_deferred_records()
        memory.jobs["late"] = {}
        loop.flush(PATIENCE_SECONDS, stops_if_down=False)
        assert len(memory.events) == 1


def test_several_flushes_at_once_all_end(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """Four concurrent `flush()` calls return once all records are delivered."""
    with running(DeliveryLoop(process.parts), process) as loop, Gate(memory) as gate:
        record(process, loop, *event_lines(2500))
        waits = [
            wait_in_thread(lambda: loop.flush(PATIENCE_SECONDS, stops_if_down=False))
            for _ in range(4)
        ]
        gate.wait()
        gate.open()
        for wait in waits:
            wait.join(2 * PATIENCE_SECONDS)
            assert not wait.is_alive()
        assert len(memory.events) == 2500


def test_close_archives_delivered_files_and_releases_the_rest(
    folder: Path, process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A close archives delivered files; the next process delivers the other files."""
    with running(DeliveryLoop(process.parts), process) as loop:
        record(process, loop, event_line())
        loop.flush(PATIENCE_SECONDS, stops_if_down=False)
    assert not list(folder.glob("*.outbox"))

    memory.outage = unavailable(503)
    other = ReportingProcess(folder, memory)
    line = event_line()
    with running(DeliveryLoop(other.parts), other) as loop:
        record(other, loop, line)
        memory.wait_until(lambda: memory.identify_count > 1)
    memory.recover()
    last = ReportingProcess(folder, memory)
    last.deliver()
    assert event_id_of(line) in memory.events
    last.close()


def test_close_does_not_wait_for_a_request_that_hangs(
    folder: Path, process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A close returns while a request hangs; all records are later stored once."""
    lines = event_lines(2)
    loop = DeliveryLoop(process.parts)
    loop.start()
    with Gate(memory) as gate:
        record(process, loop, lines[0])
        gate.wait()
        record(process, loop, lines[1])

        loop.stop(process.outbox.close(), wait_seconds=0.0)

        assert is_alive(loop)
    assert loop._thread is not None
    loop._thread.join(PATIENCE_SECONDS)
    assert not is_alive(loop)
    last = ReportingProcess(folder, memory)
    last.deliver()
    assert list(memory.events.values()) == lines
    last.close()


def test_retired_loop_ends_when_all_is_delivered(
    folder: Path, process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A retired loop delivers all records, calls `on_end`, and ends its thread."""
    ended: list[str] = []
    loop = DeliveryLoop(process.parts)
    loop.start()
    with Gate(memory) as gate:
        record(process, loop, *event_lines(1500))
        gate.wait()
        loop.retire(on_end=lambda: ended.append("ended"))
        assert is_alive(loop)
        assert ended == []
    assert loop._thread is not None
    loop._thread.join(PATIENCE_SECONDS)

    assert not is_alive(loop)
    assert ended == ["ended"]
    assert len(memory.events) == 1500
    assert not list(folder.glob("*.outbox"))


def test_records_stay_for_the_next_process_where_no_thread_can_start(
    folder: Path,
    process: ReportingProcess,
    memory: MemoryBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If no thread can start, the next process delivers the records."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    loop = DeliveryLoop(process.parts)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        loop.start()
    line = event_line()
    record(process, loop, line)
    assert returns_soon(lambda: loop.flush(AN_HOUR, stops_if_down=False))
    loop.stop(process.outbox.close(), wait_seconds=PATIENCE_SECONDS)
    assert memory.events == {}

    last = ReportingProcess(folder, memory)
    last.deliver()
    assert list(memory.events.values()) == [line]
    last.close()


def test_offline_loop_sends_nothing_and_flush_does_not_wait(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """An offline loop sends no request, and `flush()` returns without waiting."""
    process.parts.sender = None
    with running(DeliveryLoop(process.parts), process) as loop:
        record(process, loop, *event_lines(3))
        assert returns_soon(lambda: loop.flush(AN_HOUR, stops_if_down=False))

    assert memory.identify_count == 0
    folder = process.outbox.options.folder
    assert folder is not None
    assert len(list(folder.glob("*.outbox"))) == 1


def offer_two(process: ReportingProcess, loop: DeliveryLoop) -> threading.Event:
    """Report progress twice; return an event that is set when both are written."""
    both = threading.Event()
    count = [0]

    def write(line: bytes) -> None:
        process.append(line)
        count[0] += 1
        if count[0] == 2:
            both.set()

    process.parts.conflation = Conflation(write)
    for line in event_lines(2, kind="progress"):
        if process.parts.conflation.offer(("job", "copy", "progress", None), line):
            loop.wake()
    return both


def test_newest_progress_is_written_in_time(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """The last progress of a burst is written without a later report."""
    with running(DeliveryLoop(process.parts), process) as loop:
        both = offer_two(process, loop)

        assert both.wait(PATIENCE_SECONDS)


@pytest.mark.usefixtures("patient")
def test_newest_progress_is_written_in_time_during_an_outage(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """Due progress is written during the backoff of an outage."""
    memory.outage = unavailable(503)
    loop = DeliveryLoop(process.parts)
    pauses = Pauses.of(loop)
    with running(loop, process):
        record(process, loop, event_line())
        pauses.wait_for(AN_HOUR - 60)
        both = offer_two(process, loop)

        assert both.wait(PATIENCE_SECONDS)


def test_newest_progress_is_written_in_time_while_a_request_hangs(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """Progress is on disk within 1 s although the backend does not answer."""
    with running(DeliveryLoop(process.parts), process) as loop, Gate(memory) as gate:
        record(process, loop, event_line())
        gate.wait()
        both = offer_two(process, loop)

        # Four times the promised second: the request hangs for all this time.
        assert both.wait(4 * INTERVAL_SECONDS)


def test_outbox_is_thinned_during_retry_after(
    folder: Path, memory: MemoryBackend
) -> None:
    """During `Retry-After: 3600` the outbox is thinned to its limit."""
    limit = 40_000
    process = ReportingProcess(folder, memory, limit_bytes=limit)
    memory.fail_next("send", unavailable(429, retry_after_seconds=AN_HOUR))
    loop = DeliveryLoop(process.parts)
    pauses = Pauses.of(loop)
    with running(loop, process):
        record(process, loop, event_line("start"))
        pauses.wait_for(AN_HOUR - 60)
        record(process, loop, *event_lines(600, kind="info", message="x" * 150))
        pauses.wait_until(lambda: process.outbox.undelivered_bytes <= limit)

        assert process.counters.dropped["outbox full"] > 0
        assert len(memory.batches) == 1


def test_rejected_event_that_cannot_be_held_is_tried_again(
    folder: Path,
    process: ReportingProcess,
    memory: MemoryBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A rejected event that a full disk cannot hold is held by a later pass."""
    monkeypatch.setattr(loop_module, "_DISK_RETRY_SECONDS", 0.0)
    add, failures = HeldJournal.add, [OSError("no room"), OSError("no room")]

    def refuse(journal: HeldJournal, records: Any) -> None:
        if records and failures:
            raise failures.pop()
        add(journal, records)

    monkeypatch.setattr(HeldJournal, "add", refuse)
    bad, good = event_lines(2)
    memory.rejected_events[event_id_of(bad)] = problem(422)
    process.append(bad, good)
    with running(DeliveryLoop(process.parts), process) as loop:
        loop.flush(PATIENCE_SECONDS, stops_if_down=False)

        assert process.outbox.is_empty
        assert sum(file.held.counts()[0] for file in process.outbox.files) == 1
    assert process.reported_kinds == ["outbox-unwritable", "event-refused"]
    assert len(memory.events) == 1
