"""Outbox files that the job or its user closed, deleted, moved or cut.

A job may close each descriptor of the library. The number of the closed descriptor may
then belong to a file of the job.
"""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.disk_view import view_of
from tests.support.lines import event_lines
from tests.support.memory_backend import MemoryBackend
from tests.support.reporting_process import BINDING, ReportingProcess
from trackerapi.outbox.file import OutboxFile
from trackerapi.process.descriptors import LostFileError

JOB_TEXT = b"".join(b'{"secret": "line %d of the job"}\n' % n for n in range(2000))


def descriptors_in(folder: Path) -> list[int]:
    """Return the descriptors of this process whose files are in a folder."""
    found: list[int] = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # The descriptor of iterdir() is closed.
            if link.readlink().is_relative_to(folder):
                found.append(int(link.name))
    return found


class JobFiles:
    """Files that a job opens after it has closed all descriptors.

    Args:
        folder: Folder of the files.
        outbox: Folder of the outbox, whose descriptors are closed.
    """

    def __init__(self, folder: Path, outbox: Path) -> None:
        self._folder, self._outbox = folder, outbox
        self._opened: dict[int, Path] = {}

    def replace_descriptors(self) -> None:
        """Replace each descriptor of the outbox by one of a file of the job."""
        for number in descriptors_in(self._outbox):
            path = self._folder / f"job-{number}"
            path.write_bytes(JOB_TEXT)
            source = os.open(path, os.O_RDWR)
            os.dup2(source, number)  # dup2() closes the old descriptor.
            os.close(source)
            self._opened[number] = path

    def close(self) -> None:
        """Assert that the files are unchanged and open, and close them."""
        assert self._opened
        for number, path in self._opened.items():
            found = os.fstat(number)
            assert (found.st_dev, found.st_ino) == (
                path.stat().st_dev,
                path.stat().st_ino,
            )
            os.close(number)
            assert path.read_bytes() == JOB_TEXT


@pytest.fixture
def job_files(tmp_path: Path, folder: Path) -> JobFiles:
    """Return files of a job beside its outbox."""
    (tmp_path / "job").mkdir()
    return JobFiles(tmp_path / "job", folder)


def delivered(memory: MemoryBackend) -> list[bytes]:
    """Return the records that the backend stored."""
    return list(memory.events.values())


@pytest.mark.parametrize("is_down", [False, True])
def test_descriptors_reused_by_the_job_are_left_alone(
    folder: Path, memory: MemoryBackend, job_files: JobFiles, is_down: bool
) -> None:
    """No file of the job is written, sent or closed; all records arrive in order."""
    process = ReportingProcess(folder, memory)
    lines = event_lines(9)
    process.append(*lines[:3])
    if not is_down:
        process.deliver()  # Opens the file of the position, too.
    process.append(*lines[3:6])

    job_files.replace_descriptors()
    process.append(*lines[6:])
    process.passes.reopen_lost_files()
    process.deliver()
    process.close()

    assert delivered(memory) == lines
    assert process.counters.dropped == {}
    job_files.close()


def test_file_of_the_job_at_the_path_of_the_outbox_is_left_alone(
    folder: Path, memory: MemoryBackend, tmp_path: Path
) -> None:
    """A file of the job with the length of the outbox file is not written or read."""
    process = ReportingProcess(folder, memory)
    lines = event_lines(2)
    process.append(lines[0])
    (path,) = folder.glob("*.outbox")
    (number,) = descriptors_in(folder)
    text = b"x" * path.stat().st_size

    theirs = os.open(tmp_path / "job.log", os.O_CREAT | os.O_RDWR | os.O_APPEND)
    os.write(theirs, text)
    os.dup2(theirs, number)
    process.append(lines[1])
    process.passes.reopen_lost_files()
    process.deliver()
    process.close()

    assert delivered(memory) == lines
    assert os.pread(theirs, len(text) + 1, 0) == text
    os.close(theirs)
    os.close(number)


@pytest.mark.parametrize("kept", [0, 0.05, 0.999])
def test_records_after_an_outside_cut_arrive(
    folder: Path, memory: MemoryBackend, kept: float
) -> None:
    """After a cut of the outbox file by another program, later records arrive.

    A record that follows half a record is lost if it is appended before the cut is
    noticed.
    """
    process = ReportingProcess(folder, memory)
    lines = event_lines(8)
    process.append(*lines[:4])
    (path,) = folder.glob("*.outbox")
    os.truncate(path, int(path.stat().st_size * kept))

    process.append(*lines[4:6])
    with pytest.raises(LostFileError):
        process.deliver()
    process.append(lines[6])
    process.passes.reopen_lost_files()
    process.append(lines[7])
    process.deliver()
    process.close()

    arrived = delivered(memory)
    assert arrived == [line for line in lines if line in arrived]
    assert arrived[-3:] == lines[5:]
    assert process.reported_kinds == ["outbox-cut"]
    assert process.counters.dropped == {"outbox cut": len(lines) - len(arrived)}
    assert not list(folder.glob("*.outbox"))


def test_descriptors_reused_between_records_and_delivery_are_not_read(
    folder: Path, memory: MemoryBackend, job_files: JobFiles
) -> None:
    """If a file of the job has the descriptor, a delivery does not send its lines."""
    process = ReportingProcess(folder, memory)
    lines = event_lines(3)
    process.append(*lines)
    job_files.replace_descriptors()

    with pytest.raises(OSError, match="closed, deleted, moved or cut"):
        process.run_pass()
    process.passes.reopen_lost_files()
    process.deliver()
    process.close()

    assert delivered(memory) == lines
    job_files.close()


def test_leftover_with_a_replaced_descriptor_is_opened_again(
    folder: Path, memory: MemoryBackend, job_files: JobFiles
) -> None:
    """A leftover file with a replaced descriptor is opened again and delivered once."""
    before, process = ReportingProcess(folder, memory), ReportingProcess(folder, memory)
    lines = event_lines(3)
    before.append(*lines)
    before.kill()
    process.passes.claim_leftovers()
    (leftover,) = process.passes.leftovers
    first = leftover.peek(1).count(b"\n")
    leftover.settle(len(lines[0]), first, delivered=1)

    job_files.replace_descriptors()
    process.passes.reopen_lost_files()
    process.deliver()
    process.close()

    assert delivered(memory) == lines[1:]
    job_files.close()


def test_process_that_ends_leaves_files_of_the_job_open(
    folder: Path, memory: MemoryBackend, job_files: JobFiles
) -> None:
    """`forget()` and `close()` do not close a file of the job with the descriptor."""
    process = ReportingProcess(folder, memory)
    lines = event_lines(2)
    process.append(*lines)

    job_files.replace_descriptors()
    process.outbox.forget()
    process.close()

    assert view_of(folder).waiting == lines
    job_files.close()


def test_file_that_another_process_has_claimed_is_left_to_it(
    folder: Path, memory: MemoryBackend, job_files: JobFiles
) -> None:
    """Records of a file that another process claimed are delivered by that process."""
    process, other = ReportingProcess(folder, memory), ReportingProcess(folder, memory)
    lines = event_lines(4)
    process.append(*lines[:2])
    job_files.replace_descriptors()
    other.deliver()

    process.append(*lines[2:])
    process.deliver()
    process.close()
    other.close()

    assert delivered(memory) == lines
    assert process.counters.dropped == {}
    assert len(list((folder / "delivered").glob("*.outbox"))) == 2
    job_files.close()


def delete_files(folder: Path) -> None:
    """Delete the files, but not the folder."""
    for path in folder.iterdir():
        path.unlink()


def delete_folder(folder: Path) -> None:
    """Delete the folder with its files."""
    shutil.rmtree(folder)


def rename_folder(folder: Path) -> None:
    """Rename the folder."""
    folder.rename(folder.with_name("moved"))


def replace_folder(folder: Path) -> None:
    """Replace the folder by a new one of the same name."""
    rename_folder(folder)
    folder.mkdir()


def move_files(folder: Path) -> None:
    """Move the files to another folder."""
    aside = folder.with_name("aside")
    aside.mkdir()
    for path in folder.iterdir():
        path.rename(aside / path.name)


REMOVALS = [delete_files, delete_folder, rename_folder, replace_folder, move_files]


@pytest.mark.parametrize("remove", REMOVALS)
def test_records_of_removed_files_are_on_disk_again(
    folder: Path, memory: MemoryBackend, remove: Callable[[Path], None]
) -> None:
    """After a close, all undelivered records are in the folder once and in order."""
    process = ReportingProcess(folder, memory, fsync=True)
    lines = event_lines(6)
    process.append(*lines[:2])
    process.deliver()
    process.append(*lines[2:4])

    remove(folder)
    process.append(*lines[4:])
    process.close()

    assert view_of(folder).waiting == lines[2:]
    assert process.reported_kinds == ["outbox-deleted"]
    assert process.counters.dropped == {}
    following = ReportingProcess(folder, memory)
    following.deliver()
    following.close()
    assert delivered(memory) == lines


@pytest.mark.parametrize("remove", REMOVALS)
def test_delivery_pass_rescues_removed_files(
    folder: Path, memory: MemoryBackend, remove: Callable[[Path], None]
) -> None:
    """`reopen_lost_files()` writes the records to the folder without a new record."""
    process = ReportingProcess(folder, memory)
    lines = event_lines(3)
    process.append(*lines)

    remove(folder)
    process.passes.reopen_lost_files()

    assert view_of(folder).waiting == lines
    process.deliver()
    process.close()
    assert delivered(memory) == lines


def test_long_burst_does_not_go_into_a_moved_folder(
    folder: Path, memory: MemoryBackend
) -> None:
    """Appends themselves detect a moved folder during a burst of records."""
    process = ReportingProcess(folder, memory)
    lines = event_lines(1)
    process.append(*lines)

    rename_folder(folder)
    while not folder.exists() and len(lines) < 1_000_000:
        lines += event_lines(1)
        process.append(lines[-1])

    assert view_of(folder).waiting == lines
    process.close()


def test_records_without_a_file_are_not_reported_as_kept(
    folder: Path, memory: MemoryBackend
) -> None:
    """Records for which no new file can be written are delivered or counted as lost."""
    process = ReportingProcess(folder, memory)
    lines = event_lines(3)
    process.append(*lines[:2])
    delete_folder(folder)
    folder.write_text("in its place")

    process.append(lines[2])
    process.deliver()
    assert delivered(memory) == lines
    process.append(*event_lines(2))
    files = process.outbox.close()

    assert files == []
    assert process.counters.dropped == {"outbox unwritable": 2}


def test_records_of_a_file_that_was_closed_and_deleted_are_counted(
    folder: Path, memory: MemoryBackend, job_files: JobFiles
) -> None:
    """Records of the lost file are counted as dropped; the next record is delivered."""
    process = ReportingProcess(folder, memory)
    lines = event_lines(4)
    process.append(*lines[:3])

    job_files.replace_descriptors()
    delete_folder(folder)
    process.append(lines[3])
    process.deliver()
    process.close()

    assert delivered(memory) == lines[3:]
    assert process.counters.dropped == {"outbox deleted": 3}
    assert process.reported_kinds == ["outbox-deleted"]
    job_files.close()


def test_held_records_of_a_file_that_was_deleted_alone_stay(
    folder: Path, memory: MemoryBackend
) -> None:
    """The journal of a deleted outbox file is moved to the new file."""
    process = ReportingProcess(folder, memory)
    unknown, known = event_lines(1, "unknown"), event_lines(1)
    process.append(*unknown)
    process.run_pass()
    assert process.passes.has_deferred_records()
    process.append(*known)

    (path,) = folder.glob("*.outbox")
    path.unlink()
    process.passes.reopen_lost_files()
    process.close()

    view = view_of(folder)
    assert (view.waiting, view.deferred) == (known, unknown)


def test_closed_file_takes_no_record_and_reads_nothing(folder: Path) -> None:
    """`append()` to a closed file raises OSError; `peek()` returns no bytes."""
    file = OutboxFile.create(folder, BINDING)
    file.close()

    with pytest.raises(OSError, match="closed"):
        file.append(event_lines(1)[0])
    assert file.peek(1000) == b""
