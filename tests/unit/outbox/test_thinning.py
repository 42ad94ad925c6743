"""Thinning of a full outbox: dropped kinds, kept kinds and counts."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lines import (
    creation_line,
    event_id_of,
    event_line,
    event_lines,
)
from tests.support.memory_backend import MemoryBackend, problem
from tests.support.reporting_process import ReportingProcess
from tests.support.small_disk import SmallDisk
from trackerapi.errors import OutboxError
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.held import JournalEntry
from trackerapi.outbox.thinning import ROOM_TO_MAKE, thin_out

LIMIT = 40_000
COUNTING_KINDS = ("start", "step", "skip", "error", "complete", "cancel")


@pytest.fixture
def small(folder: Path, memory: MemoryBackend) -> Iterator[ReportingProcess]:
    """Return a process with a small outbox limit."""
    made = ReportingProcess(folder, memory, limit_bytes=LIMIT)
    yield made
    made.kill()


def thin(process: ReportingProcess) -> None:
    """Thin the outbox, as the delivery loop does in each pass."""
    thin_out(process.outbox, process.counters, process.problems)


def undelivered_records(process: ReportingProcess) -> list[bytes]:
    """Return the undelivered records of a process, in order."""
    return [
        line
        for file in process.outbox.files
        for line in file.peek(2**30).splitlines(keepends=True)
    ]


def large(kind: str, **members: object) -> bytes:
    """Return an event of about 400 bytes."""
    return event_line(kind, message="x" * 250, **members)  # type: ignore[arg-type]


def test_outbox_below_its_limit_is_left_alone(small: ReportingProcess) -> None:
    """An outbox below its limit keeps its records and its files."""
    small.append(*[large("info") for _ in range(50)])
    paths = [file.path for file in small.outbox.files]

    thin(small)

    assert len(undelivered_records(small)) == 50
    assert [file.path for file in small.outbox.files] == paths
    assert small.counters.dropped == {}
    assert small.reported == []


def test_oldest_timeline_lines_go_first(small: ReportingProcess) -> None:
    """Thinning drops the oldest lines, and only as many as needed."""
    lines = [large("info") for _ in range(200)]
    small.append(*lines)

    thin(small)

    left = undelivered_records(small)
    dropped = len(lines) - len(left)
    assert left == lines[dropped:]
    assert small.outbox.undelivered_bytes <= LIMIT * (1 - ROOM_TO_MAKE)
    # Thinning stops within one line of its goal.
    assert small.outbox.undelivered_bytes > LIMIT * (1 - ROOM_TO_MAKE) - len(lines[0])
    assert small.counters.dropped == {"outbox full": dropped}
    assert small.outbox.undelivered_count == len(left)
    assert not small.outbox.is_full


def test_fsync_covers_the_thinned_file(
    folder: Path, memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `fsync` the file that replaces a thinned file is synced, and its folder."""
    synced: dict[int, int] = {}
    sync = os.fsync

    def note(fd: int) -> None:
        sync(fd)
        synced[os.fstat(fd).st_ino] = os.fstat(fd).st_size

    monkeypatch.setattr(os, "fsync", note)
    process = ReportingProcess(folder, memory, limit_bytes=LIMIT, fsync=True)
    process.append(*[large("info") for _ in range(200)])
    synced.clear()

    thin(process)

    changed = [file.path.stat() for file in process.outbox.files]
    assert any(synced.get(stat.st_ino) == stat.st_size for stat in changed)
    assert folder.stat().st_ino in synced
    process.kill()


@pytest.mark.parametrize("kind", ["info", "heartbeat", "a word of the author"])
def test_timeline_lines_are_dropped(small: ReportingProcess, kind: str) -> None:
    """Timeline lines are dropped; events that change a state stay in order."""
    steps = [large("step") for _ in range(80)]
    small.append(*[large(kind) for _ in range(40)], *steps)

    thin(small)

    assert [line for line in undelivered_records(small) if line in steps] == steps
    assert small.counters.dropped["outbox full"] >= 20


def test_state_events_stay_in_order(small: ReportingProcess) -> None:
    """Thinning never drops creations and events that change a job's state."""
    counting: list[bytes] = []
    for number in range(14):
        batch = [creation_line(f"job-{number}"), *map(large, COUNTING_KINDS)]
        for line in batch:
            small.append(line, large("info"), large("heartbeat"))
        counting += batch

    thin(small)

    assert [line for line in undelivered_records(small) if line in counting] == counting
    assert small.outbox.undelivered_bytes <= LIMIT
    assert not small.outbox.is_full


def test_newest_progress_of_each_step_stays(small: ReportingProcess) -> None:
    """Thinning drops progress only if later progress of the same part supersedes it."""
    counters = [
        (job, tag, part)
        for job in ("a", "b")
        for tag, part in (("copy", "left"), ("copy", "right"), (None, None))
    ]
    newest: dict[tuple[str, str | None, str | None], bytes] = {}
    for number in range(40):
        for job, tag, part in counters:
            line = large("progress", job=job, tag=tag, completed=number, part=part)
            small.append(line)
            newest[job, tag, part] = line

    thin(small)

    left = undelivered_records(small)
    assert set(newest.values()) <= set(left)
    assert small.counters.dropped == {"outbox full": 240 - len(left)}
    assert small.outbox.undelivered_bytes <= LIMIT


def test_newest_progress_stays_even_in_a_full_outbox(
    small: ReportingProcess,
) -> None:
    """The last progress of a step stays even if the outbox remains full."""
    lines = [large("progress", tag=f"step-{number}") for number in range(150)]
    small.append(*lines)

    thin(small)

    assert undelivered_records(small) == lines
    assert small.outbox.is_full
    assert small.counters.dropped == {}


def test_outbox_of_state_events_refuses_and_counts_the_newest(
    small: ReportingProcess,
) -> None:
    """A full outbox keeps its records; later records are counted, with one warning."""
    lines = [large("step") for _ in range(150)]
    small.append(*lines)
    thin(small)
    assert small.outbox.is_full

    small.append(large("complete"), large("info"))

    assert undelivered_records(small) == lines
    assert small.counters.dropped == {"outbox full": 2}
    assert small.reported_kinds == ["outbox-full"]


def test_with_strict_a_full_outbox_raises(folder: Path, memory: MemoryBackend) -> None:
    """With `strict` a record for a full outbox raises OutboxError."""
    process = ReportingProcess(folder, memory, limit_bytes=LIMIT, strict=True)
    process.append(*[large("step") for _ in range(150)])
    thin(process)

    with pytest.raises(OutboxError, match="full"):
        process.outbox.append(large("complete"))

    assert process.counters.dropped == {}
    process.kill()


def test_full_outbox_takes_records_again_after_delivery(
    small: ReportingProcess, memory: MemoryBackend
) -> None:
    """After a delivery, a full outbox accepts new records again."""
    small.append(*[large("step") for _ in range(150)])
    thin(small)
    small.run_pass()

    thin(small)
    last = large("complete")
    small.append(last)
    small.deliver()

    assert not small.outbox.is_full
    assert event_id_of(last) in memory.events
    assert len(memory.events) == 151
    assert small.counters.dropped == {}


def test_remaining_records_are_delivered_in_order_after_thinning(
    small: ReportingProcess, memory: MemoryBackend
) -> None:
    """After thinning, the remaining records are delivered in order and archived."""
    lines = [large("step" if number % 3 else "info") for number in range(120)]
    small.append(*lines)
    thin(small)
    left = undelivered_records(small)

    small.deliver()

    assert list(memory.events.values()) == left
    assert left == [line for line in lines if line in left]
    assert small.outbox.files == []
    assert not list(small.outbox.files)
    folder = small.outbox.options.folder
    assert folder is not None
    assert not list(folder.glob("*.outbox"))


def test_thinned_outbox_is_whole_for_the_next_process(
    folder: Path, small: ReportingProcess, memory: MemoryBackend
) -> None:
    """After thinning and a kill, another process delivers the remaining records."""
    lines = [creation_line("new"), *[large("info", job="new") for _ in range(150)]]
    small.append(*lines, large("complete", job="new"))
    thin(small)
    left = undelivered_records(small)
    small.kill()
    other = ReportingProcess(folder, memory)

    other.deliver()

    assert list(memory.events.values()) == left[1:]
    assert "new" in memory.jobs
    other.kill()


def test_held_records_survive_the_thinning(
    small: ReportingProcess, memory: MemoryBackend
) -> None:
    """Held and deferred records are in the journal of the file after thinning."""
    refused, late = large("info"), large("info", job="late")
    memory.rejected_events[event_id_of(refused)] = problem(422)
    small.append(refused, late)
    small.run_pass()
    small.append(*[large("info") for _ in range(150)])

    thin(small)

    kept = [one for file in small.outbox.files for one in file.held.entries()]
    assert [one.record for one in kept] == [refused, late]
    assert [one.is_deferred for one in kept] == [False, True]
    memory.jobs["late"] = {}
    small.deliver()
    assert event_id_of(late) in memory.events


def test_settled_records_are_not_thinned_again(
    small: ReportingProcess, memory: MemoryBackend
) -> None:
    """Records that the backend stored are neither dropped nor delivered again."""
    small.append(*event_lines(20, kind="info"))
    small.deliver()
    batches = len(memory.batches)
    small.append(*[large("info") for _ in range(150)])

    thin(small)
    small.deliver()

    assert small.counters.dropped["outbox full"] + small.counters.delivered == 170
    sent = b"".join(memory.batches[batches:])
    assert sent.count(b"\n") == small.counters.delivered - 20


@pytest.mark.parametrize("room_bytes", [0, 50, 1000])
def test_failed_thinning_changes_nothing(
    folder: Path,
    small: ReportingProcess,
    monkeypatch: pytest.MonkeyPatch,
    room_bytes: int,
) -> None:
    """If the disk has no room for the thinned file, the old file stays unchanged."""
    disk = SmallDisk(monkeypatch, folder)
    lines = [large("step" if number % 2 else "info") for number in range(150)]
    small.append(*lines)
    paths = {path.name for path in folder.glob("*.outbox")}
    disk.room_bytes = room_bytes

    thin(small)

    assert undelivered_records(small) == lines
    assert small.counters.dropped == {}
    assert {path.name for path in folder.glob("*.outbox")} == paths


def test_thinning_warns_once(small: ReportingProcess) -> None:
    """Five thinnings of one outbox report one problem."""
    for _ in range(5):
        small.append(*[large("info") for _ in range(150)])
        thin(small)

    assert small.reported_kinds == ["outbox-full"]
    assert "dropped" in small.reported[0].message


def test_thinning_reads_the_kind_and_not_the_text(small: ReportingProcess) -> None:
    """A message that contains `"kind":"info"` does not make a `step` droppable."""
    text = '"kind":"info"' + "x" * 300
    lines = [event_line("step", message=text) for _ in range(150)]
    small.append(*lines)

    thin(small)

    assert undelivered_records(small) == lines
    assert all(json.loads(line)["kind"] == "step" for line in lines)


def test_journal_of_a_thinned_file_is_counted_once(small: ReportingProcess) -> None:
    """After thinning, the folder has one journal, and its record is counted once."""
    small.append(large("step"))
    (file,) = small.outbox.files
    file.held.add([JournalEntry(record=large("step"), problem=problem(422))])
    small.append(*[large("info") for _ in range(150)])

    thin(small)

    folder = small.outbox.options.folder
    assert folder is not None
    assert len(list(folder.glob("*.held"))) == 1
    assert sum(sum(one.held.counts()) for one in small.outbox.files) == 1


def test_outbox_that_is_closed_meanwhile_stays_as_it_is(
    small: ReportingProcess, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of an outbox that is closed during the thinning stay unchanged."""
    small.append(*[large("info") for _ in range(200)])
    before = {path: path.read_bytes() for path in folder.glob("*.outbox")}
    create = OutboxFile.create

    def closed_meanwhile(*arguments: object) -> OutboxFile:
        monkeypatch.undo()
        small.outbox.close()
        return create(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(OutboxFile, "create", closed_meanwhile)
    thin(small)

    assert {p: p.read_bytes() for p in folder.glob("*.outbox")} == before
    assert small.counters.dropped == {}
