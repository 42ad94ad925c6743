"""Outbox of a process: files, records in memory, limits, fsync and interrupts."""

import errno
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.support.lines import event_line, event_lines, ids_of
from tests.support.memory_backend import MemoryBackend, unavailable
from tests.support.outbox_folders import recorded_lines
from tests.support.reporting_process import ReportingProcess
from tests.support.small_disk import SmallDisk
from trackerapi.errors import BackendUnavailable, OutboxError
from trackerapi.outbox import outbox as outbox_module
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.outbox import MAX_BACKLOG_BYTES, MAX_BACKLOG_RECORDS
from trackerapi.process.clock import steady_seconds


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, folder: Path) -> SmallDisk:
    """Return the disk of the outbox; it has room until a test limits it."""
    return SmallDisk(monkeypatch, folder)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list whose sum, in seconds, is added to the clock of the outbox."""
    passed = [0.0]
    monkeypatch.setattr(
        outbox_module, "steady_seconds", lambda: steady_seconds() + sum(passed)
    )
    return passed


def test_folder_is_created_with_the_first_record(process: ReportingProcess) -> None:
    """Without records no outbox folder is created."""
    folder = process.outbox.options.folder
    assert folder is not None

    process.outbox.drain_backlog()
    process.close()

    assert not folder.exists()


def test_record_is_on_disk_when_append_returns(
    folder: Path, process: ReportingProcess
) -> None:
    """When `append()` returns, the record is the last line of the file."""
    for line in event_lines(3):
        process.append(line)
        assert recorded_lines(folder)[-1] == line

    assert process.outbox.undelivered_count == 3
    assert not process.outbox.is_empty


def test_each_record_is_one_write(
    process: ReportingProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each record is written by one call of `os.pwrite`."""
    process.append(event_line())
    write, written = os.pwrite, list[bytes]()

    def count(fd: int, data: bytes, position: int) -> int:
        written.append(bytes(data))
        return write(fd, data, position)

    lines = event_lines(3)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", count)
        process.append(*lines)

    assert written == lines


def test_full_file_is_followed_by_a_new_file(
    folder: Path, memory: MemoryBackend
) -> None:
    """A file that reaches its size limit is followed by a new file, in order."""
    process = ReportingProcess(folder, memory, limit_bytes=8 * 2000)
    lines = event_lines(100)
    process.append(*lines)

    assert len(process.outbox.files) > 5
    assert recorded_lines(folder) == lines
    assert max(path.stat().st_size for path in folder.iterdir()) < 2500
    process.deliver()
    assert list(memory.events.values()) == lines
    process.kill()


def test_next_record_after_a_full_file_goes_into_a_new_file(
    folder: Path, process: ReportingProcess
) -> None:
    """After `end_current_file()` the next record begins a new current file."""
    process.append(event_line())
    process.outbox.end_current_file()
    process.append(event_line())

    assert len(list(folder.glob("*.outbox"))) == 2
    assert not process.outbox.is_current(process.outbox.files[0])
    assert process.outbox.is_current(process.outbox.files[1])


def test_threads_that_report_at_once_lose_nothing(
    folder: Path, memory: MemoryBackend
) -> None:
    """Records of four threads are on disk once, in the order of each thread."""
    process = ReportingProcess(folder, memory, limit_bytes=8 * 20_000)
    lines = {f"job-{name}": event_lines(300, f"job-{name}") for name in range(4)}
    threads = [
        threading.Thread(target=process.append, args=batch) for batch in lines.values()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = recorded_lines(folder)
    assert process.outbox.undelivered_count == len(found) == 1200
    for batch in lines.values():
        assert [line for line in found if line in set(batch)] == batch
    process.kill()


def test_closed_outbox_refuses_records(folder: Path, process: ReportingProcess) -> None:
    """`append()` to a closed outbox returns False and writes nothing."""
    process.append(event_line())
    files = process.outbox.close()

    assert process.outbox.append(event_line()) is False
    assert len(recorded_lines(folder)) == 1
    for file in files:
        file.close()


def test_records_refused_by_the_disk_are_written_later(
    folder: Path, process: ReportingProcess, disk: SmallDisk, later: list[float]
) -> None:
    """Records that a full disk refused are written in order once the disk has room."""
    lines = event_lines(6)
    process.append(lines[0])
    disk.room_bytes = 30
    process.append(*lines[1:4])

    assert recorded_lines(folder)[:1] == lines[:1]
    assert list(process.outbox.backlog) == lines[1:4]
    assert process.outbox.undelivered_count == 4
    assert process.reported_kinds == ["outbox-unwritable"]
    assert "TRACKERAPI_OUTBOX" in process.reported[0].message

    disk.room_bytes = None
    later.append(60)
    process.append(*lines[4:])
    assert recorded_lines(folder) == lines
    assert not process.outbox.backlog
    assert process.counters.dropped == {}


def test_disk_is_tried_again_after_a_frozen_clock(
    folder: Path, process: ReportingProcess, disk: SmallDisk, later: list[float]
) -> None:
    """After a clock far in the future is reset, the next record is written to disk."""
    later.append(1e12)
    disk.room_bytes = 0
    lines = event_lines(2)
    process.append(lines[0])
    disk.room_bytes = None
    later.clear()

    process.append(lines[1])

    assert recorded_lines(folder) == lines


def test_report_reads_no_clock_that_a_test_replaces(
    process: ReportingProcess, folder: Path, disk: SmallDisk
) -> None:
    """A patched `time.monotonic` changes no report, not even on a full disk."""
    lines = event_lines(4)
    process.append(lines[0])
    with mock.patch("time.monotonic"), mock.patch("time.sleep"):
        process.append(*lines[1:3])
        disk.room_bytes = 0
        process.append(lines[3])

    assert recorded_lines(folder) == lines[:3]
    assert list(process.outbox.backlog) == lines[3:]


def test_full_disk_is_not_tried_for_every_record(
    process: ReportingProcess, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed write, the next 100 records cause no write and no open."""
    process.append(event_line())
    disk.room_bytes = 0
    process.append(event_line())
    calls: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, _: calls.append(fd))
        patch.setattr(os, "pwrite", lambda fd, *_: calls.append(fd))
        patch.setattr(os, "open", lambda *_: calls.append(-1))
        process.append(*event_lines(100))

    assert calls == []
    assert len(process.outbox.backlog) == 101


@pytest.mark.parametrize("kind", ["file in its place", "no home folder"])
def test_folder_that_cannot_be_made_leaves_records_in_memory(
    folder: Path, memory: MemoryBackend, kind: str
) -> None:
    """If the outbox folder cannot be made, records are delivered from memory."""
    has_place = kind == "file in its place"
    if has_place:
        folder.write_text("something else")
    process = ReportingProcess(folder if has_place else None, memory)
    lines = event_lines(3)
    process.append(*lines)

    process.deliver()

    assert list(memory.events.values()) == lines
    assert process.reported_kinds == ["outbox-unwritable"]
    assert process.counters.delivered == 3


def test_memory_is_bounded_by_count(process: ReportingProcess, disk: SmallDisk) -> None:
    """Records above `MAX_BACKLOG_RECORDS` in memory are dropped and counted."""
    disk.room_bytes = 0
    lines = event_lines(MAX_BACKLOG_RECORDS)
    process.append(*lines, event_line(), event_line("info"))

    assert list(process.outbox.backlog) == lines
    assert process.counters.dropped == {"outbox unwritable": 2}
    assert process.reported_kinds == ["outbox-unwritable", "outbox-full"]


def test_memory_is_bounded_by_bytes(process: ReportingProcess, disk: SmallDisk) -> None:
    """Records above `MAX_BACKLOG_BYTES` in memory are dropped and counted."""
    disk.room_bytes = 0
    line = event_line(message="x" * 1_000_000)
    process.append(*[line] * 20)

    kept = sum(map(len, process.outbox.backlog))
    assert MAX_BACKLOG_BYTES - len(line) < kept <= MAX_BACKLOG_BYTES
    assert process.counters.dropped == {
        "outbox unwritable": 20 - len(process.outbox.backlog)
    }


def test_delivery_makes_room_in_memory(
    process: ReportingProcess, disk: SmallDisk, memory: MemoryBackend
) -> None:
    """Delivered records no longer count against the memory limit."""
    disk.room_bytes = 0
    for _ in range(3):
        lines = [event_line(message="x" * 100_000) for _ in range(100)]
        process.append(*lines)
        process.deliver(200)

    assert len(memory.events) == 300
    assert process.counters.dropped == {}


def test_strict_refusal_raises_and_records_nothing(
    folder: Path, memory: MemoryBackend, disk: SmallDisk
) -> None:
    """With `strict` a full disk raises, and neither disk nor memory has the record."""
    process = ReportingProcess(folder, memory, strict=True)
    first, refused = event_lines(2)
    process.append(first)
    disk.room_bytes = 30

    with pytest.raises(OutboxError, match="cannot be written"):
        process.outbox.append(refused)

    disk.room_bytes = None
    assert recorded_lines(folder) == [first]
    assert not process.outbox.backlog
    process.append(refused)
    assert recorded_lines(folder) == [first, refused]
    process.kill()


def test_records_in_memory_do_not_overtake_those_in_a_file(
    folder: Path, process: ReportingProcess, disk: SmallDisk, memory: MemoryBackend
) -> None:
    """Records in a file are sent before later records in memory."""
    lines = event_lines(2500)
    process.append(*lines[:2400])
    disk.room_bytes = 0
    process.append(*lines[2400:])
    assert len(process.outbox.backlog) == 100

    process.deliver()

    assert list(memory.events) == ids_of(lines)


def test_records_in_memory_do_not_overtake_deferred_records(
    process: ReportingProcess, disk: SmallDisk, memory: MemoryBackend
) -> None:
    """Deferred records are sent before later records in memory."""
    first, second = event_lines(2, "late")
    process.append(first)
    process.run_pass()
    disk.room_bytes = 0
    process.append(second)
    memory.jobs["late"] = {}

    with suppress(OSError):  # The disk has no room for the position.
        process.run_pass()
    disk.room_bytes = None
    process.deliver()

    assert list(memory.events) == ids_of([first, second])


def test_records_in_memory_survive_an_unavailable_backend(
    process: ReportingProcess, disk: SmallDisk, memory: MemoryBackend
) -> None:
    """After a failed delivery from memory, the records stay there in order."""
    disk.room_bytes = 0
    lines = event_lines(5)
    process.append(*lines[:3])
    memory.fail_next("send", unavailable())

    with pytest.raises(BackendUnavailable):
        process.run_pass()

    process.append(*lines[3:])
    assert list(process.outbox.backlog) == lines
    process.deliver()
    assert list(memory.events.values()) == lines


def test_record_in_flight_from_memory_is_undelivered(
    process: ReportingProcess, disk: SmallDisk, memory: MemoryBackend
) -> None:
    """A record in memory counts as undelivered while its request is unanswered."""
    disk.room_bytes = 0
    process.append(event_line())
    seen: list[tuple[int, bool]] = []
    memory.on_request = lambda kind: (
        seen.append((process.outbox.undelivered_count, process.outbox.is_empty))
        if kind == "send"
        else None
    )

    process.deliver()

    assert seen == [(1, False)]


def test_unknown_job_in_memory_is_not_requested_in_each_pass(
    process: ReportingProcess, disk: SmallDisk, memory: MemoryBackend
) -> None:
    """Retries of a deferred event in memory become rarer, as on disk."""
    disk.room_bytes = 0
    process.append(event_line(job="late"))
    process.passes.claim_leftovers()
    for _ in range(20):
        if process.passes.has_due_requests():
            process.passes.deliver_batches()

    assert len(memory.batches) < 10


def test_close_writes_records_of_memory(
    folder: Path, process: ReportingProcess, disk: SmallDisk
) -> None:
    """`close()` writes the records in memory to a disk that has room again."""
    lines = event_lines(3)
    process.append(lines[0])
    disk.room_bytes = 0
    process.append(*lines[1:])
    disk.room_bytes = None

    process.close()

    assert recorded_lines(folder) == lines
    assert process.counters.dropped == {}


@pytest.mark.parametrize("room", [0, 10_000])
def test_close_writes_records_in_flight_from_memory(
    process: ReportingProcess, disk: SmallDisk, memory: MemoryBackend, room: int
) -> None:
    """`close()` during a request writes its records to disk, or counts them dropped."""
    disk.room_bytes = 0
    lines = event_lines(3)
    process.append(*lines)

    def end(kind: str) -> None:
        if kind == "send":
            disk.room_bytes = room
            process.outbox.close()
            raise unavailable().error

    memory.on_request = end
    with pytest.raises(BackendUnavailable):
        process.deliver()
    folder = process.outbox.options.folder
    assert folder is not None

    assert recorded_lines(folder) == (lines if room else [])
    assert process.counters.dropped == ({} if room else {"outbox unwritable": 3})
    assert process.outbox.undelivered_count == 0


def test_close_counts_records_without_room(
    process: ReportingProcess, disk: SmallDisk
) -> None:
    """`close()` counts records in memory as dropped if the disk is still full."""
    disk.room_bytes = 0
    process.append(*event_lines(3))

    process.close()

    assert process.counters.dropped == {"outbox unwritable": 3}
    assert process.outbox.undelivered_count == 0


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Return names and sizes of the files given to `os.fsync`."""
    found: list[tuple[str, int]] = []
    fsync = os.fsync

    def note(fd: int) -> None:
        fsync(fd)
        path = Path(f"/proc/self/fd/{fd}").readlink()
        found.append((path.name, os.fstat(fd).st_size))

    monkeypatch.setattr(os, "fsync", note)
    return found


def test_fsync_puts_each_record_on_the_disk(
    folder: Path, memory: MemoryBackend, synced: list[tuple[str, int]]
) -> None:
    """With `fsync` each record is synced, and the folder of its file, too."""
    process = ReportingProcess(folder, memory, fsync=True, limit_bytes=8 * 1000)
    for line in event_lines(20):
        process.append(line)
        path = sorted(folder.glob("*.outbox"))[-1]
        assert (path.name, path.stat().st_size) in synced
        assert path.read_bytes().endswith(line)

    assert len(list(folder.glob("*.outbox"))) > 2
    assert folder.name in {name for name, _ in synced}  # The folder, too.
    process.kill()


def test_fsync_puts_a_full_file_on_the_disk_before_the_next_begins(
    folder: Path,
    memory: MemoryBackend,
    synced: list[tuple[str, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full file is synced to its end before the next file is created."""
    process = ReportingProcess(folder, memory, fsync=True, limit_bytes=8 * 1000)
    process.append(event_line())
    with monkeypatch.context() as patch:
        # Simulates threads that are paused between their write and their `fsync`.
        patch.setattr(process.outbox, "_sync", lambda _: None)
        while (path := process.outbox.files[-1].path).stat().st_size <= 1000:
            process.append(event_line())
    synced.clear()
    create, at_begin = OutboxFile.create, list[list[tuple[str, int]]]()

    def begin(*given: Any) -> OutboxFile:
        at_begin.append(list(synced))
        return create(*given)

    monkeypatch.setattr(OutboxFile, "create", begin)
    process.append(event_line())

    assert at_begin == [[(path.name, path.stat().st_size)]]
    process.kill()


@pytest.mark.parametrize("end", ["close", "end_current_file"])
def test_fsync_covers_a_record_at_the_end_of_its_file(
    folder: Path,
    memory: MemoryBackend,
    synced: list[tuple[str, int]],
    monkeypatch: pytest.MonkeyPatch,
    end: str,
) -> None:
    """A record is synced even if another thread ends its file before the `fsync`."""
    process = ReportingProcess(folder, memory, fsync=True)
    process.append(event_line())
    (file,) = process.outbox.files
    append = OutboxFile.append

    def append_and_end(file: OutboxFile, line: bytes) -> None:
        append(file, line)
        thread = threading.Thread(target=getattr(process.outbox, end))
        thread.start()
        threads.append(thread)

    def wait_for_the_end(*given: OutboxFile) -> None:
        for thread in threads:
            thread.join()
        sync(*given)

    threads: list[threading.Thread] = []
    sync = process.outbox._sync
    monkeypatch.setattr(OutboxFile, "append", append_and_end)
    monkeypatch.setattr(process.outbox, "_sync", wait_for_the_end)
    process.append(event_line())

    assert (file.path.name, file.path.stat().st_size) in synced
    file.close()


def test_without_fsync_no_record_waits_for_the_disk(
    process: ReportingProcess, synced: list[tuple[str, int]]
) -> None:
    """Without `fsync=True`, `append()` does not call `os.fsync`."""
    process.append(*event_lines(5))

    assert synced == []


def test_fsync_failure_stops_no_job(
    folder: Path, memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `strict` a failed `os.fsync` is reported as a problem, not raised."""
    process = ReportingProcess(folder, memory, fsync=True)
    lines = event_lines(3)
    process.append(lines[0])

    def refuse(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        process.append(*lines[1:])

    assert process.reported_kinds == ["outbox-unwritable"]
    process.deliver()
    assert list(memory.events.values()) == lines
    process.kill()


def test_strict_fsync_failure_raises(
    folder: Path, memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `strict` a failed `os.fsync` raises OutboxError."""
    process = ReportingProcess(folder, memory, fsync=True, strict=True)
    process.append(event_line())

    def refuse(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(OutboxError, match="cannot be written"):
            process.outbox.append(event_line())
    process.kill()


def test_interrupt_during_a_report_loses_no_other(
    folder: Path, process: ReportingProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If Ctrl-C follows the write of a record, all records are stored once."""
    lines = event_lines(4)
    write = os.pwrite

    def interrupt(fd: int, data: bytes, position: int) -> int:
        write(fd, data, position)
        raise KeyboardInterrupt

    process.append(lines[0])
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", interrupt)
        with pytest.raises(KeyboardInterrupt):
            process.append(lines[1])
    process.append(*lines[2:])

    assert recorded_lines(folder) == lines
    assert process.outbox.undelivered_count == 4
    process.deliver()
    assert process.counters.delivered == 4


def test_interrupt_during_the_first_report_loses_no_other(
    folder: Path, process: ReportingProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If Ctrl-C interrupts the creation of the file, all records are stored."""
    write = os.pwrite

    def interrupt(fd: int, data: bytes, position: int) -> int:
        write(fd, data, position)
        raise KeyboardInterrupt

    first, second = event_lines(2)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", interrupt)
        with pytest.raises(KeyboardInterrupt):
            process.append(first)
    process.append(second)

    assert recorded_lines(folder) == [first, second]
    assert process.outbox.undelivered_count == 2
