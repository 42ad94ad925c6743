"""Conflation of progress and heartbeats: at most one record a second per key."""

import sys
import threading
import time
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.memory_backend import PATIENCE_SECONDS
from trackerapi.delivery import conflation as conflation_module
from trackerapi.delivery.conflation import INTERVAL_SECONDS, Conflation, Key
from trackerapi.errors import OutboxError

STEP: Final[Key] = ("job", "copy", "progress", None)
OTHER_STEP: Final[Key] = ("job", "check", "progress", None)
HEARTBEAT: Final[Key] = ("job", None, "heartbeat", None)
OTHER_JOB: Final[Key] = ("other", "copy", "progress", None)


class Bench:
    """A conflation with a clock that a test moves.

    Attributes:
        now: Time of the clock, in seconds.
        written: Lines that the conflation has written, oldest first.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.written: list[bytes] = []
        self.conflation = Conflation(self.written.append, lambda: self.now)

    def offer(self, key: Key, *lines: bytes) -> list[bool]:
        """Offer lines without moving the clock; return whether each line is pending."""
        return [self.conflation.offer(key, line) for line in lines]


@pytest.fixture
def bench() -> Bench:
    """Return a conflation without records."""
    return Bench()


def test_first_progress_is_written_at_once(bench: Bench) -> None:
    """The first report of a step is written without delay."""
    assert bench.offer(STEP, b"1") == [False]

    assert bench.written == [b"1"]
    assert bench.conflation.write_due() is None


def test_first_progress_is_written_at_once_just_after_the_machine_has_started() -> None:
    """With a monotonic clock at zero, the first report is written without delay."""
    bench = Bench()
    bench.now = 0.0

    bench.offer(STEP, b"1")

    assert bench.written == [b"1"]


def test_only_the_newest_of_a_second_is_kept(bench: Bench) -> None:
    """Of several reports within a second, the first and the newest are written."""
    assert bench.offer(STEP, b"1", b"2", b"3", b"4") == [False, True, True, True]
    assert bench.written == [b"1"]

    bench.now += INTERVAL_SECONDS
    assert bench.conflation.write_due() is None

    assert bench.written == [b"1", b"4"]
    assert bench.conflation.pending == {}


def test_seconds_until_the_next_due_record_are_returned(bench: Bench) -> None:
    """`write_due()` returns the seconds until the next pending record is due."""
    bench.offer(STEP, b"1", b"2")
    bench.now += 0.25
    bench.offer(OTHER_STEP, b"3", b"4")

    assert bench.conflation.write_due() == pytest.approx(0.75)
    bench.now += 0.75
    assert bench.conflation.write_due() == pytest.approx(0.25)
    assert bench.written == [b"1", b"3", b"2"]


def test_timed_write_begins_a_new_interval(bench: Bench) -> None:
    """A report within a second after `write_due()` wrote the step stays pending."""
    bench.offer(STEP, b"1", b"2")
    bench.now += INTERVAL_SECONDS
    bench.conflation.write_due()
    bench.now += INTERVAL_SECONDS / 2

    assert bench.offer(STEP, b"3") == [True]
    assert bench.written == [b"1", b"2"]


def test_steps_jobs_and_kinds_are_conflated_separately(bench: Bench) -> None:
    """The first record of each step, job and kind is written without delay."""
    for key in (STEP, OTHER_STEP, HEARTBEAT, OTHER_JOB):
        bench.offer(key, repr(key).encode())

    assert len(bench.written) == 4


def test_parts_of_a_step_are_conflated_separately(bench: Bench) -> None:
    """The newest record of each part of a step is kept: the backend adds parts up."""
    parts: list[Key] = [("job", "copy", "progress", part) for part in ("a", "b")]
    for key in parts:
        bench.offer(key, b"first", repr(key).encode())
    bench.written.clear()

    bench.conflation.write_pending("job", "copy")

    assert bench.written == [repr(key).encode() for key in parts]


def test_newest_progress_is_written_before_the_next_event_of_its_step(
    bench: Bench,
) -> None:
    """`write_pending()` of a step writes its last progress and no other record."""
    for key in (STEP, OTHER_STEP, HEARTBEAT, OTHER_JOB):
        bench.offer(key, b"first", repr(key).encode())
    bench.written.clear()

    bench.conflation.write_pending("job", "copy")

    assert bench.written == [repr(STEP).encode()]
    assert STEP not in bench.conflation.pending
    assert len(bench.conflation.pending) == 3


def test_event_of_the_whole_job_follows_all_its_progress(bench: Bench) -> None:
    """`write_pending()` without a step writes all pending records of the job."""
    for key in (STEP, OTHER_STEP, HEARTBEAT, OTHER_JOB):
        bench.offer(key, b"first", repr(key).encode())
    bench.written.clear()

    bench.conflation.write_pending("job", None)

    assert bench.written == [
        repr(key).encode() for key in (STEP, OTHER_STEP, HEARTBEAT)
    ]
    assert list(bench.conflation.pending) == [OTHER_JOB]


def test_write_all_writes_every_pending_record(bench: Bench) -> None:
    """`write_all()` writes the pending record of every step and job."""
    for key in (STEP, OTHER_STEP, HEARTBEAT, OTHER_JOB):
        bench.offer(key, b"first", b"last")

    bench.conflation.write_all()

    assert bench.written.count(b"last") == 4
    assert bench.conflation.pending == {}


def test_closed_conflation_keeps_no_record(bench: Bench) -> None:
    """After `close()` records are written without the pause of one second."""
    bench.offer(STEP, b"1", b"2")
    bench.conflation.close()
    assert bench.written == [b"1", b"2"]

    assert bench.offer(STEP, b"3", b"4") == [False, False]
    bench.conflation.queue(STEP, b"5")

    assert bench.conflation.write_due() is None
    assert bench.written == [b"1", b"2", b"3", b"4", b"5"]


def test_timer_works_after_ctrl_c_at_the_start_of_its_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After Ctrl-C at the start of the timer thread, the next report starts it."""
    start = threading.Thread.start
    is_written = threading.Event()

    def interrupt(_: threading.Thread) -> None:
        monkeypatch.setattr(threading.Thread, "start", start)
        raise KeyboardInterrupt

    def write(line: bytes) -> None:
        if line == b"3":
            is_written.set()

    conflation = Conflation(write)
    conflation.offer(STEP, b"1")
    monkeypatch.setattr(threading.Thread, "start", interrupt)
    with pytest.raises(KeyboardInterrupt):
        conflation.offer(STEP, b"2")
    conflation.offer(STEP, b"3")

    assert is_written.wait(PATIENCE_SECONDS)


def test_finished_jobs_are_forgotten(bench: Bench) -> None:
    """Write times of jobs without recent records are removed from memory."""
    for number in range(1500):
        bench.offer((f"job-{number}", None, "heartbeat", None), b"x")
    bench.now += 2 * INTERVAL_SECONDS
    bench.offer(STEP, b"1", b"2")
    bench.conflation.write_due()

    assert len(bench.conflation._written_at) < 10
    assert bench.offer(STEP, b"3") == [True]
    bench.now += INTERVAL_SECONDS
    bench.conflation.write_due()
    assert bench.written[-1] == b"3"


def test_failed_write_keeps_the_newest() -> None:
    """A record whose write raised stays pending, and `write_all()` writes it."""
    refusals = [OutboxError("no room")]
    written: list[bytes] = []

    def write(line: bytes) -> None:
        if line == b"2" and refusals:
            raise refusals.pop()
        written.append(line)

    now = [0.0]
    conflation = Conflation(write, lambda: now[0])
    conflation.offer(STEP, b"1")
    conflation.offer(STEP, b"2")
    now[0] += INTERVAL_SECONDS
    with pytest.raises(OutboxError, match="no room"):
        conflation.write_due()

    conflation.write_all()

    assert written == [b"1", b"2"]


def test_report_of_a_signal_handler_during_a_write_is_the_newest() -> None:
    """A report by a signal handler during a write is written after that write."""
    written: list[bytes] = []
    handler = [b"3"]

    def write(line: bytes) -> None:
        written.append(line)
        if line == b"2" and handler:
            conflation.offer(STEP, handler.pop())

    now = [0.0]
    conflation = Conflation(write, lambda: now[0])
    conflation.offer(STEP, b"1")
    conflation.offer(STEP, b"2")
    now[0] += INTERVAL_SECONDS
    conflation.write_due()

    conflation.write_all()

    assert written == [b"1", b"2", b"3"]


def test_timer_writes_the_newest_once() -> None:
    """The last progress is written by the timer thread, without another call."""
    written: list[bytes] = []
    is_written = threading.Event()

    def write(line: bytes) -> None:
        written.append(line)
        if line == b"3":
            is_written.set()

    conflation = Conflation(write)
    for line in (b"1", b"2", b"3"):
        conflation.offer(STEP, line)

    assert is_written.wait(PATIENCE_SECONDS)
    assert written == [b"1", b"3"]


@pytest.mark.parametrize("frozen_at", [0.0, 1e12])
def test_newest_record_is_written_in_time_after_a_frozen_clock(
    monkeypatch: pytest.MonkeyPatch, frozen_at: float
) -> None:
    """After a patch of `time.monotonic` ends, the newest record is written on time."""
    written: list[bytes] = []
    is_written = threading.Event()

    def write(line: bytes) -> None:
        written.append(line)
        if line == b"3":
            is_written.set()

    with monkeypatch.context() as frozen:
        frozen.setattr(time, "monotonic", lambda: frozen_at)
        frozen.setattr(time, "sleep", lambda _: None)
        conflation = Conflation(write)
        conflation.offer(STEP, b"1")
    for line in (b"2", b"3"):
        conflation.offer(STEP, line)

    assert is_written.wait(PATIENCE_SECONDS)
    assert written == [b"1", b"3"]


def test_timer_thread_survives_a_record_that_raises() -> None:
    """A queued record that raises SystemExit once is written by the next attempt."""
    is_written, attempts = threading.Event(), list[int]()

    def line() -> bytes:
        attempts.append(1)
        if len(attempts) == 1:
            sys.exit(1)
        return b"1"

    Conflation(lambda _: is_written.set()).queue(STEP, line)

    assert is_written.wait(PATIENCE_SECONDS)


def test_next_report_writes_due_records_where_no_thread_can_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If no thread can start, the next report writes the due records."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(conflation_module, "INTERVAL_SECONDS", 0.0)
    written: list[bytes] = []
    conflation = Conflation(written.append)

    for line in (b"1", b"2", b"3"):
        conflation.queue(STEP, line)

    assert written == [b"1", b"2", b"3"]


KEYS: Final = (STEP, OTHER_STEP, HEARTBEAT, OTHER_JOB)


@given(
    moves=st.lists(
        st.tuples(
            st.sampled_from(KEYS),
            st.floats(0, 1.5),
            st.sampled_from(["offer", "offer", "offer", "due", "release"]),
        ),
        max_size=40,
    )
)
def test_newest_is_written_or_pending_and_never_twice(
    moves: list[tuple[Key, float, str]],
) -> None:
    """For each key, records are written once and in order, and the newest is kept."""
    bench = Bench()
    newest: dict[Key, bytes] = {}
    owners: dict[bytes, Key] = {}
    for number, (key, seconds, move) in enumerate(moves):
        bench.now += seconds
        if move == "offer":
            line = b"%06d" % number
            newest[key], owners[line] = line, key
            bench.offer(key, line)
        elif move == "due":
            bench.conflation.write_due()
        else:
            bench.conflation.write_pending(key[0], key[1])

    for key in KEYS:
        mine = [line for line in bench.written if owners[line] == key]
        assert mine == sorted(set(mine))
        last = bench.conflation.pending.get(key, mine[-1] if mine else None)
        assert last == newest.get(key)
    bench.conflation.write_all()
    for key, line in newest.items():
        assert [one for one in bench.written if owners[one] == key][-1] == line


def test_newest_record_of_each_thread_is_written(bench: Bench) -> None:
    """Reports of a thread are written in order, and the last report is not lost."""

    def report(name: int) -> None:
        for number in range(500):
            bench.offer(
                ("job", str(name), "progress", None), b"%d %03d" % (name, number)
            )
            if number % 50 == 0:
                bench.conflation.write_pending("job", str(name))

    threads = [threading.Thread(target=report, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bench.conflation.write_all()

    for name in range(4):
        mine = [line for line in bench.written if line.startswith(b"%d " % name)]
        assert mine == sorted(mine)
        assert mine[-1] == b"%d 499" % name


def test_pending_record_is_written_by_another_thread(bench: Bench) -> None:
    """`queue()` writes nothing itself; `write_due()` writes the queued record."""
    bench.conflation.queue(STEP, b"1")
    assert bench.written == []

    assert bench.conflation.write_due() is None
    bench.conflation.queue(STEP, b"2")
    assert bench.conflation.write_due() == INTERVAL_SECONDS
    bench.conflation.write_pending("job", "copy")

    assert bench.written == [b"1", b"2"]


def test_record_can_be_queued_while_another_is_written() -> None:
    """`queue()` does not block while another thread writes a record."""
    writing, may_go_on = threading.Event(), threading.Event()
    written: list[bytes] = []

    def write(line: bytes) -> None:
        writing.set()
        assert may_go_on.wait(PATIENCE_SECONDS)
        written.append(line)

    conflation = Conflation(write)
    conflation.queue(STEP, b"1")
    assert writing.wait(PATIENCE_SECONDS)
    conflation.queue(STEP, b"2")
    may_go_on.set()
    conflation.write_all()

    assert written == [b"1", b"2"]
