"""Batch delivery: order and size of batches, effect of each answer on records."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.lines import (
    creation_line,
    event_id_of,
    event_line,
    event_lines,
    ids_of,
)
from tests.support.memory_backend import (
    MAX_BYTES,
    Fault,
    MemoryBackend,
    key_refused,
    lost_answer,
    problem,
    rejected,
    unavailable,
)
from tests.support.reporting_process import BINDING, ReportingProcess
from tests.support.small_disk import SmallDisk
from trackerapi.delivery.batches import BatchDelivery
from trackerapi.delivery.sender import BatchResult, Rejection
from trackerapi.errors import AuthenticationError, BackendError, BackendUnavailable
from trackerapi.outbox.counters import Counters
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.held import HOLD_AFTER, HeldJournal, JournalEntry
from trackerapi.problems import Problems

HTML_413 = Fault(unavailable(413).error)


def batch_delivery_of(
    process: ReportingProcess, memory: MemoryBackend
) -> BatchDelivery:
    """Return the batch delivery of a process, for a test that sends single batches."""
    folder = process.parts.folder
    assert folder is not None
    return BatchDelivery(
        memory,
        lambda job: folder.find_creation(process.outbox.binding, job),
        process.problems,
        process.counters,
    )


def held_lines(process: ReportingProcess, *, is_deferred: bool = False) -> list[bytes]:
    """Return the held lines of a process; with `is_deferred` the deferred lines."""
    found: list[bytes] = []
    for file in process.files():
        file.held.refresh()
        found += [kept.record for kept in file.held.entries(is_deferred=is_deferred)]
    return found


def deliver_all(batch_delivery: BatchDelivery, file: OutboxFile) -> None:
    """Send batches until a file has no undelivered records."""
    for _ in range(200):
        if not batch_delivery.deliver_next(file):
            return
    raise AssertionError("the file still has undelivered records after 200 batches")


def test_events_arrive_as_they_were_recorded(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """All events arrive once, byte for byte, in the order of the calls."""
    lines = event_lines(2500)
    process.append(*lines)

    process.deliver()

    assert list(memory.events.values()) == lines
    assert memory.line_counts == [1000, 1000, 500]
    assert process.counters.delivered == 2500


def test_batches_are_filled_up_to_the_limit_of_bytes(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A batch is at most 1 MiB and, if more lines follow, at least half full."""
    lines = [event_line(message="x" * 100_000) for _ in range(25)]
    process.append(*lines)

    process.deliver()

    assert list(memory.events.values()) == lines
    assert [len(batch) > MAX_BYTES // 2 for batch in memory.batches] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    "fault",
    [
        unavailable(),
        unavailable(was_sent=False),
        unavailable(503),
        unavailable(429, retry_after_seconds=5),
        unavailable(404),
        unavailable(200),
        lost_answer(),
        key_refused(401),
        key_refused(403),
        rejected(404),
        rejected(409),
        rejected(415),
        rejected(422, has_problem=False),
    ],
)
def test_batch_without_a_usable_answer_stays_undelivered(
    process: ReportingProcess, memory: MemoryBackend, fault: Fault
) -> None:
    """The record stays undelivered and is stored once when the batch is repeated."""
    lines = event_lines(1)
    process.append(*lines)
    memory.fail_next("send", fault)

    with pytest.raises(BackendError) as caught:
        process.run_pass()

    assert process.outbox.undelivered_count == 1
    assert process.counters.delivered == 0
    assert held_lines(process) == []
    expected = (BackendUnavailable, AuthenticationError)
    assert isinstance(caught.value, expected)
    process.deliver()
    assert list(memory.events.values()) == lines
    assert process.counters.delivered == 1


def test_retry_after_is_part_of_the_exception(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """BackendUnavailable has the `Retry-After` of a 429 answer, in seconds."""
    process.append(event_line())
    memory.fail_next("send", unavailable(429, retry_after_seconds=17))

    with pytest.raises(BackendUnavailable) as caught:
        process.run_pass()

    assert caught.value.retry_after_seconds == 17


def test_event_with_a_lost_answer_is_stored_and_counted_once(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """Events whose answer was lost are sent twice, stored once and counted once."""
    lines = event_lines(3)
    process.append(*lines)
    memory.fail_next("send", lost_answer())
    with pytest.raises(BackendUnavailable):
        process.run_pass()
    assert len(memory.events) == 3

    process.deliver()

    assert list(memory.events.values()) == lines
    assert process.counters.delivered == 3


@pytest.mark.parametrize("fault", [rejected(413), HTML_413])
@pytest.mark.parametrize("max_lines", [1, 2, 7, 300])
def test_batch_that_is_too_large_is_split(
    process: ReportingProcess, memory: MemoryBackend, fault: Fault, max_lines: int
) -> None:
    """A batch answered with 413 is halved until it fits; all events are delivered."""
    lines = event_lines(600 if max_lines > 100 else 40)
    process.append(*lines)
    memory.too_large, memory.max_lines = fault, max_lines

    process.deliver(200)

    assert list(memory.events.values()) == lines
    assert process.counters.delivered == len(lines)
    assert held_lines(process) == []


def test_small_record_stays_undelivered_behind_a_proxy_with_status_413(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """One small record answered with 413 is not held: a later pass delivers it."""
    process.append(event_line())
    memory.fail_next("send", HTML_413)

    with pytest.raises(BackendUnavailable):
        process.run_pass()

    process.deliver()
    assert len(memory.events) == 1


@pytest.mark.parametrize("fault", [rejected(413), HTML_413], ids=["backend", "proxy"])
def test_single_line_that_is_too_large_is_held_and_the_rest_is_delivered(
    process: ReportingProcess, memory: MemoryBackend, fault: Fault
) -> None:
    """A single line answered with 413 is held; lines before and after it arrive."""
    small, large, last = event_line(), event_line(message="x" * 40_000), event_line()
    process.append(small, large, last)
    memory.too_large, memory.max_bytes = fault, 36_000

    process.deliver()

    assert list(memory.events.values()) == [small, last]
    assert held_lines(process) == [large]
    assert process.outbox.undelivered_count == 0


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("index", [0, 3, 6])
def test_batch_that_is_rejected_whole_is_split_down_to_the_bad_line(
    process: ReportingProcess, memory: MemoryBackend, status: int, index: int
) -> None:
    """A batch rejected for one bad line is split, and only the bad line is held."""
    lines = event_lines(7)
    process.append(*lines)
    memory.event_faults[event_id_of(lines[index])] = rejected(status)

    process.deliver()

    assert list(memory.events.values()) == lines[:index] + lines[index + 1 :]
    assert held_lines(process) == [lines[index]]
    assert process.counters.delivered == 6
    assert process.reported_kinds == ["event-refused"]


def test_rejected_line_is_held_with_the_reason(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """Two lines rejected in one answer are held with the reason and logged once."""
    lines = event_lines(5)
    process.append(*lines)
    for index in (1, 3):
        memory.rejected_events[event_id_of(lines[index])] = problem(422, "no such kind")

    process.deliver()

    assert list(memory.events.values()) == [lines[0], lines[2], lines[4]]
    assert held_lines(process) == [lines[1], lines[3]]
    (file,) = process.files()
    assert [kept.reason for kept in file.held.entries()] == ["no such kind"] * 2
    assert len(memory.batches) == 1
    assert process.counters.delivered == 3
    assert process.reported_kinds == ["event-refused"]
    assert "no such kind" in process.reported[0].message
    assert "trackerapi outbox list" in process.reported[0].message


def test_rejection_that_cannot_be_written_leaves_the_batch_undelivered(
    folder: Path,
    process: ReportingProcess,
    memory: MemoryBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If a rejection cannot be written, all lines of its batch stay undelivered."""
    disk = SmallDisk(monkeypatch, folder)
    lines = event_lines(2)
    process.append(*lines)
    memory.rejected_events[event_id_of(lines[0])] = problem(422)
    disk.room_bytes = 0

    with pytest.raises(OSError, match=r"room|space"):
        process.run_pass()

    assert process.outbox.undelivered_count == 2
    disk.room_bytes = None
    process.deliver()
    assert held_lines(process) == lines[:1]
    assert list(memory.events.values()) == lines[1:]


@pytest.mark.parametrize(
    "receipt",
    [
        BatchResult(accepted=0, duplicates=0),
        BatchResult(accepted=1, duplicates=1),
        BatchResult(
            accepted=2,
            duplicates=0,
            rejections=(Rejection(index=3, problem=problem(422)),),
        ),
        BatchResult(
            accepted=2,
            duplicates=0,
            rejections=(Rejection(index=-1, problem=problem(422)),),
        ),
        BatchResult(
            accepted=1,
            duplicates=0,
            rejections=(Rejection(index=1, problem=problem(422)),) * 2,
        ),
        BatchResult(
            accepted=2,
            duplicates=0,
            rejections=(
                Rejection(index=1, problem=problem(422), event_id="of another line"),
            ),
        ),
    ],
)
def test_answer_that_does_not_match_the_batch_is_ignored(
    process: ReportingProcess,
    memory: MemoryBackend,
    monkeypatch: pytest.MonkeyPatch,
    receipt: BatchResult,
) -> None:
    """An answer that does not match the batch is ignored: all lines are sent again."""
    lines = event_lines(3)
    process.append(*lines)
    with monkeypatch.context() as patch:
        patch.setattr(memory, "send", lambda _: receipt)
        with suppress(BackendUnavailable):
            process.run_pass()

    assert process.outbox.undelivered_count == 3
    assert held_lines(process) == []
    process.deliver()
    assert list(memory.events.values()) == lines


def test_batches_shrink_with_timeouts_and_grow_with_success(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """Each timeout halves the batch size; successes bring it back to 1,000 lines."""
    process.append(*event_lines(4000))
    memory.fail_next("send", unavailable(), unavailable(), unavailable())

    for _ in range(3):
        with pytest.raises(BackendUnavailable):
            process.run_pass()
    process.deliver()

    assert memory.line_counts == [1000, 500, 250, *[125] * 8, 1000, 1000, 1000]
    assert len(memory.events) == 4000


@pytest.mark.parametrize(
    "fault", [unavailable(503), unavailable(was_sent=False), key_refused()]
)
def test_batches_do_not_shrink_for_faults_unrelated_to_size(
    process: ReportingProcess, memory: MemoryBackend, fault: Fault
) -> None:
    """A 503, a failed connection or a rejected key leaves the batch size at 1,000."""
    process.append(*event_lines(1000))
    memory.fail_next("send", fault, fault, fault)

    for _ in range(3):
        with pytest.raises(BackendError):
            process.run_pass()
    process.deliver()

    assert memory.line_counts == [1000] * 4


def test_line_that_times_out_alone_is_tried_again(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A batch of one line that times out is sent again."""
    process.append(event_line(), event_line())
    memory.fail_next("send", *[unavailable()] * 2)

    for _ in range(2):
        with pytest.raises(BackendUnavailable):
            process.run_pass()
    process.deliver()

    assert memory.line_counts == [2, 1, 1, 1]


def test_creation_is_sent_before_its_events(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A job is created before its first event is sent."""
    order: list[str] = []
    memory.on_request = order.append
    before, after = event_line(), event_line(job="new")
    process.append(before, creation_line("new"), after)

    process.deliver()

    assert list(memory.events.values()) == [before, after]
    assert [creation["provider_job_id"] for creation in memory.creations] == ["new"]
    assert memory.creations[0]["customer_id"] == 142
    assert order == ["identify", "send", "create_job", "send"]


def test_settled_creation_is_not_sent_again(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A creation recorded as done causes no creation request."""
    process.append(creation_line(state="done"), event_line())

    process.deliver()

    assert memory.creations == []
    assert len(memory.events) == 1


@pytest.mark.parametrize(
    "fault",
    [
        unavailable(),
        unavailable(503),
        unavailable(404),
        lost_answer(),
        key_refused(),
        rejected(404, has_problem=False),
        rejected(404, kind="urn:trackerapi:problem:not-found"),
        rejected(404, kind="about:blank"),
        rejected(400, kind="urn:trackerapi:problem:ambiguous-key"),
    ],
)
def test_creation_without_a_usable_answer_delays_its_events(
    process: ReportingProcess, memory: MemoryBackend, fault: Fault
) -> None:
    """Without a usable answer to the creation, no event of the job is sent."""
    line = event_line(job="new")
    process.append(creation_line("new"), line)
    memory.fail_next("create_job", fault)

    with pytest.raises(BackendError):
        process.run_pass()

    assert memory.batches == []
    assert process.outbox.undelivered_count == 2
    process.deliver()
    assert list(memory.events.values()) == [line]


@pytest.mark.parametrize("status", [400, 404, 409, 413, 414, 422, 431])
def test_rejected_creation_is_held_with_all_later_events_of_its_job(
    process: ReportingProcess, memory: MemoryBackend, status: int
) -> None:
    """Events of a job with a rejected creation are held; other jobs are delivered."""
    memory.rejected_jobs["new"] = rejected(status)
    refused, fine = event_lines(3, "new"), event_lines(3)
    process.append(creation_line("new"))
    for ours, theirs in zip(refused, fine, strict=True):
        process.append(ours, theirs)

    process.deliver()
    process.append(event_line(job="new"))
    process.deliver()

    assert list(memory.events.values()) == fine
    held = held_lines(process)
    assert held[:4] == [creation_line("new"), *refused]
    assert len(held) == 5
    assert process.outbox.undelivered_count == 0
    assert process.reported_kinds.count("job-refused") == 1
    (message,) = [one.message for one in process.reported if one.kind == "job-refused"]
    assert "trackerapi outbox retry --job 'new'" in message


def test_creation_recorded_as_rejected_is_held_without_a_request(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A creation recorded as rejected is held with its events, without a request."""
    line = event_line(job="new")
    process.append(creation_line("new", "held", problem(404, "no customer 9")), line)

    process.deliver()

    assert memory.creations == []
    assert memory.events == {}
    (file,) = process.files()
    creation, event = file.held.entries()
    assert creation.reason == "no customer 9"
    assert event.record == line


def test_creation_that_succeeds_later_ends_the_holding_of_events(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """After a second creation that succeeds, new events of the job are delivered."""
    memory.rejected_jobs["new"] = rejected(404)
    process.append(creation_line("new"), event_line(job="new"))
    process.deliver()
    del memory.rejected_jobs["new"]
    line = event_line(job="new")
    process.append(creation_line("new"), line)

    process.deliver()

    assert "new" in memory.jobs
    assert event_id_of(line) in memory.events


def test_job_released_during_a_request_holds_no_records(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """Records in flight while `outbox retry` releases their job are delivered."""
    memory.rejected_jobs["new"] = rejected(404)
    process.append(creation_line("new"))
    process.deliver()
    (file,) = process.files()

    def retry(kind: str) -> None:
        if kind == "send" and "new" not in memory.jobs:
            memory.jobs["new"] = {}
            elsewhere = HeldJournal(file.held.path)
            elsewhere.refresh()
            held = [kept.record_id for kept in elsewhere.entries()]
            elsewhere.remove(held, "delivered")

    memory.on_request = retry
    lines = [event_line(job="new"), event_line()]
    process.append(*lines)
    process.deliver()

    assert held_lines(process) == []
    assert sorted(memory.events) == sorted(ids_of(lines))


def test_event_of_an_unknown_job_is_deferred_until_it_is_known(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """An event of an unknown job is logged, deferred, and sent once the job exists."""
    line, other = event_line(job="late"), event_line()
    process.append(line, other)

    process.run_pass()

    assert list(memory.events.values()) == [other]
    assert held_lines(process, is_deferred=True) == [line]
    assert held_lines(process) == []
    assert process.reported_kinds == ["job-unknown"]
    memory.jobs["late"] = {}
    process.deliver()
    assert list(memory.events.values()) == [other, line]
    assert held_lines(process, is_deferred=True) == []


def test_later_events_do_not_overtake_deferred_events(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """While older events of a job are deferred, newer events are deferred too."""
    batch_delivery = batch_delivery_of(process, memory)
    lines = event_lines(6, "late")
    process.append(*lines[:2])
    (file,) = process.files()
    batch_delivery.deliver_next(file)
    memory.jobs["late"] = {}
    process.append(*lines[2:4])
    batch_delivery.deliver_next(file)
    process.append(*lines[4:])
    batch_delivery.deliver_next(file)
    assert memory.events == {}
    assert held_lines(process, is_deferred=True) == lines

    batch_delivery.retry_deferred(file)

    assert list(memory.events.values()) == lines
    assert held_lines(process, is_deferred=True) == []


def test_order_of_a_job_holds_across_the_files_of_a_process(
    folder: Path, memory: MemoryBackend
) -> None:
    """Deferred events of one file are sent before events of the next file."""
    # With this limit each file has room for one event.
    process = ReportingProcess(folder, memory, limit_bytes=8 * 300)
    lines = event_lines(6, "late", message="x" * 50)
    process.append(*lines)
    assert len(process.outbox.files) > 2
    batch_delivery = batch_delivery_of(process, memory)
    first, *others = process.outbox.files
    deliver_all(batch_delivery, first)
    memory.jobs["late"] = {}
    for file in others:
        deliver_all(batch_delivery, file)

    process.deliver()

    assert list(memory.events) == ids_of(lines)
    process.kill()


@pytest.mark.parametrize("state", ["done", "waiting"])
def test_creation_is_sent_again_to_a_backend_that_has_lost_the_job(
    process: ReportingProcess, memory: MemoryBackend, state: str
) -> None:
    """If the backend has lost a job, its creation is sent again before its events."""
    lines = event_lines(3, "restored")
    process.append(creation_line("restored", state), lines[0])
    memory.jobs["restored"] = {}
    process.deliver()
    memory.jobs.clear()
    memory.creations.clear()
    process.append(*lines[1:])

    process.deliver()

    assert [one["provider_job_id"] for one in memory.creations] == ["restored"]
    assert memory.creations[0]["tag"] == "nightly"
    assert list(memory.events.values()) == lines


def test_creation_of_another_process_is_sent_for_an_unknown_job(
    folder: Path, process: ReportingProcess, memory: MemoryBackend
) -> None:
    """For an unknown job, the creation is read from the file of another process."""
    memory.jobs["shared"] = {}
    parent = ReportingProcess(folder, memory)
    parent.append(creation_line("shared", "done"))
    parent.deliver()
    parent.close()
    memory.jobs.clear()
    line = event_line(job="shared")
    process.append(line)

    process.deliver()

    assert list(memory.events.values()) == [line]
    assert "shared" in memory.jobs


def test_unknown_job_with_a_rejected_creation_is_held(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """If the repeated creation is rejected, all events of the job are held."""
    memory.rejected_jobs["gone"] = rejected(409)
    lines = event_lines(2, "gone")
    process.append(creation_line("gone", "done"), *lines)

    process.deliver()
    process.append(event_line(job="gone"))
    process.deliver()

    assert memory.events == {}
    held = held_lines(process)
    assert [line for line in held if line in lines] == lines
    assert len(held) == 4
    assert "job-refused" in process.reported_kinds


@pytest.mark.parametrize(
    ("age", "is_held"),
    [
        (HOLD_AFTER + timedelta(minutes=1), True),
        (HOLD_AFTER - timedelta(minutes=1), False),
    ],
)
def test_event_of_an_unknown_job_is_held_after_a_week(
    process: ReportingProcess, memory: MemoryBackend, age: timedelta, is_held: bool
) -> None:
    """An event is deferred for seven days at most."""
    process.append(event_line())
    (file,) = process.files()
    since = (datetime.now(UTC) - age).isoformat(timespec="seconds")
    line = event_line(job="late")
    file.held.add(
        [JournalEntry(record=line, problem=problem(404), is_deferred=True, since=since)]
    )

    process.run_pass()

    assert held_lines(process) == ([line] if is_held else [])
    assert held_lines(process, is_deferred=True) == ([] if is_held else [line])
    assert HOLD_AFTER.days == 7


def test_deferred_event_keeps_its_time_until_it_is_held(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """Failed attempts do not change the time from which the seven days count."""
    process.append(event_line())
    (file,) = process.files()
    since = "2026-11-20T00:00:00Z"
    line = event_line(job="late")
    file.held.add(
        [JournalEntry(record=line, problem=problem(404), is_deferred=True, since=since)]
    )

    for _ in range(3):
        process.run_pass()

    (kept,) = file.held.entries()
    assert kept.since == since


def test_deferred_event_that_is_rejected_is_held(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A deferred event that the backend rejects is held; the others are delivered."""
    lines = event_lines(3, "late")
    process.append(*lines)
    process.run_pass()
    memory.jobs["late"] = {}
    memory.rejected_events[event_id_of(lines[1])] = problem(422, "no such kind")

    process.deliver()

    assert list(memory.events.values()) == [lines[0], lines[2]]
    assert held_lines(process) == [lines[1]]


@pytest.mark.parametrize(
    "fault", [unavailable(), lost_answer(), key_refused(), rejected(404)]
)
def test_deferred_events_survive_an_unavailable_backend(
    process: ReportingProcess, memory: MemoryBackend, fault: Fault
) -> None:
    """A failed retry leaves events deferred; the next pass delivers each once."""
    lines = event_lines(3, "late")
    process.append(*lines)
    process.run_pass()
    memory.jobs["late"] = {}
    memory.outage = fault
    asked = len(memory.batches) + memory.identify_count

    with pytest.raises(BackendError):
        process.run_pass()

    assert len(memory.batches) + memory.identify_count == asked + 1
    memory.recover()
    assert held_lines(process, is_deferred=True) == lines
    process.deliver()
    assert list(memory.events.values()) == lines
    assert process.counters.delivered == 3


def test_many_deferred_events_go_in_batches_that_the_contract_allows(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """Batches of deferred events, too, are 1 MiB at most."""
    lines = [event_line(job="late", message="x" * 9000) for _ in range(300)]
    process.append(*lines)
    while not process.outbox.is_empty:
        process.run_pass()
    memory.jobs["late"] = {}

    process.deliver()

    assert list(memory.events.values()) == lines
    assert max(map(len, memory.batches)) <= MAX_BYTES


def test_records_in_memory_arrive_with_their_creation_first(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """Records in memory are sent in order: the creation, then full batches."""
    lines = event_lines(1500, "new")
    batch_delivery = batch_delivery_of(process, memory)

    refused = batch_delivery.deliver_lines([creation_line("new"), *lines])

    assert refused == []
    assert list(memory.events.values()) == lines
    assert memory.line_counts == [1000, 500]


def test_rejected_records_in_memory_are_returned_with_the_reason(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """`deliver_lines()` returns the rejected and the deferred records."""
    memory.rejected_jobs["new"] = rejected(422)
    bad, late, good = event_line(), event_line(job="late"), event_line()
    memory.rejected_events[event_id_of(bad)] = problem(422)
    batch_delivery = batch_delivery_of(process, memory)

    refused = batch_delivery.deliver_lines([creation_line("new"), bad, late, good])

    assert [kept.record for kept in refused] == [creation_line("new"), bad, late]
    assert [kept.is_deferred for kept in refused] == [False, False, True]
    assert list(memory.events.values()) == [good]


def test_records_in_memory_are_counted_once(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """Lines delivered before a failure are stored and counted once after a repeat."""
    lines = event_lines(1500)
    batch_delivery = batch_delivery_of(process, memory)
    memory.fail_next("send", None, unavailable(503))
    with pytest.raises(BackendUnavailable):
        batch_delivery.deliver_lines(lines)

    batch_delivery.deliver_lines(lines)

    assert list(memory.events.values()) == lines
    assert process.counters.delivered == 1500


def test_damaged_line_is_held_and_other_lines_arrive(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A line that is not JSON is held; the lines before and after it arrive."""
    first, last = event_lines(2)
    process.append(first, b'{"event_id": "cut in its mi\n', last)

    process.deliver()

    assert list(memory.events.values()) == [first, last]
    assert held_lines(process) == [b'{"event_id": "cut in its mi\n']


@pytest.mark.parametrize(
    ("start", "is_held"), [(b"", True), (b'{"create_job":', False)]
)
def test_line_larger_than_any_request_does_not_block_other_lines(
    process: ReportingProcess, memory: MemoryBackend, start: bytes, *, is_held: bool
) -> None:
    """A 2 MiB event is held, a 2 MiB damaged creation dropped; other lines arrive."""
    first, last = event_lines(2)
    huge = start + b'{"event_id":"' + b"x" * (1 << 21) + b'"}\n'
    process.append(first, huge, last)

    process.deliver()

    assert list(memory.events.values()) == [first, last]
    assert held_lines(process) == ([huge] if is_held else [])
    assert process.counters.dropped == ({} if is_held else {"damaged": 1})


@pytest.mark.parametrize("blank", [b"\n", b"  \n", b"\r\n", b"\0\0\0\n"])
@pytest.mark.parametrize("is_alone", [True, False])
def test_blank_line_does_not_block_other_lines(
    process: ReportingProcess, memory: MemoryBackend, blank: bytes, is_alone: bool
) -> None:
    """Lines of blanks or NUL bytes are skipped; lines before and after them arrive."""
    lines = event_lines(3)
    if is_alone:
        process.append(blank)
        process.deliver()
        process.append(*lines)
    else:
        process.append(lines[0], blank, *lines[1:])

    process.deliver()

    assert list(memory.events.values()) == lines
    assert process.counters.delivered == 3


def first_failures(faults: list[Fault | None]) -> list[Fault | None]:
    """Return the faults before the third failure.

    After three failures of one batch, delivery sends the records of the batch
    separately and in another order.
    """
    indexes = [n for n, fault in enumerate(faults) if fault is not None]
    return faults[: indexes[2]] if len(indexes) > 2 else faults


@given(
    count=st.integers(1, 40),
    bad=st.sets(st.integers(0, 39), max_size=6),
    max_lines=st.integers(1, 40),
    faults=st.lists(
        st.sampled_from(
            [
                None,
                unavailable(),
                lost_answer(),
                unavailable(503),
                key_refused(),
            ]
        ),
        max_size=8,
    ).map(first_failures),
    is_poison=st.booleans(),
)
def test_good_lines_arrive_in_order_and_bad_lines_are_held(
    tmp_path_factory: pytest.TempPathFactory,
    count: int,
    bad: set[int],
    max_lines: int,
    faults: list[Fault | None],
    is_poison: bool,
) -> None:
    """After any faults, good lines are stored in order and the bad lines are held."""
    memory, problems, counters = MemoryBackend("job"), Problems(), Counters()
    file = OutboxFile.create(tmp_path_factory.mktemp("outbox"), BINDING)
    lines = event_lines(count)
    bad_lines = [line for index, line in enumerate(lines) if index in bad]
    for line in lines:
        file.append(line)
    for line in bad_lines:
        if is_poison:
            memory.event_faults[event_id_of(line)] = rejected(422)
        else:
            memory.rejected_events[event_id_of(line)] = problem(422)
    memory.max_lines = max_lines
    memory.fail_next("send", *faults)
    batch_delivery = BatchDelivery(memory, lambda _: None, problems, counters)

    for _ in range(300):
        try:
            if not batch_delivery.deliver_next(file):
                break
        except BackendError:
            assert not file.is_delivered

    assert file.is_delivered
    assert list(memory.events.values()) == [x for x in lines if x not in bad_lines]
    assert [kept.record for kept in file.held.entries()] == bad_lines
    assert counters.delivered == file.delivered == len(lines) - len(bad_lines)
    assert memory.violations == []
    file.close()
