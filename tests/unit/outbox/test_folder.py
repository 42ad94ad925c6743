"""Leftover files in the folder: search, claims, archive and creations."""

import os
import threading
import time
from pathlib import Path
from typing import Final

import pytest

from tests.support.lines import creation_line, event_line, event_lines
from tests.support.memory_backend import PATIENCE_SECONDS, problem
from tests.support.no_locks import forbid_locks
from tests.support.reporting_process import BINDING
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.folder import (
    KEEP_DELIVERED_SECONDS,
    OutboxFolder,
    default_folder,
)
from trackerapi.outbox.header import FORMAT_VERSION, Binding, Header, header_of
from trackerapi.outbox.held import JournalEntry

HEADER: Final = Header(binding=BINDING, created_at="2026-11-24T12:00:00Z")
NEWER: Final = Header(binding=BINDING, version=FORMAT_VERSION + 1)


@pytest.fixture
def outbox_folder(folder: Path) -> OutboxFolder:
    """Return an outbox folder that exists."""
    folder.mkdir()
    return OutboxFolder(folder)


def leftover_of(
    folder: Path, *lines: bytes, stem: str = "", binding: Binding = BINDING
) -> Path:
    """Return the leftover file of a process that recorded lines."""
    file = OutboxFile.create(folder, binding, stem)
    for line in lines:
        file.append(line)
    file.close()
    return file.path


def claim_all(folder: OutboxFolder, binding: Binding = BINDING) -> list[OutboxFile]:
    """Claim every leftover file."""
    return list(folder.claim(binding, set()))


def settle_all(file: OutboxFile) -> None:
    """Settle all records of a file as delivered."""
    chunk = file.peek(file.undelivered_bytes)
    count = chunk.count(b"\n")
    file.settle(len(chunk), count, delivered=count)


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ({"XDG_STATE_HOME": "/state"}, "linux", "/state/trackerapi"),
        ({"XDG_STATE_HOME": " "}, "linux", "/home/me/.local/state/trackerapi"),
        ({}, "linux", "/home/me/.local/state/trackerapi"),
        ({}, "darwin", "/home/me/Library/Application Support/trackerapi"),
    ],
)
def test_default_folder_is_where_programs_keep_their_state(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    platform: str,
    expected: str,
) -> None:
    """The default folder is the one that platformdirs returns."""
    monkeypatch.setenv("HOME", "/home/me")

    assert default_folder(environment, platform) == Path(expected)


def test_missing_folder_is_empty(folder: Path) -> None:
    """A search for leftovers neither creates the folder nor fails."""
    outbox_folder = OutboxFolder(folder)

    assert outbox_folder.paths() == []
    assert claim_all(outbox_folder) == []
    outbox_folder.purge()
    assert outbox_folder.find_creation(BINDING, "job") is None
    assert not folder.exists()


def test_files_are_claimed_oldest_first(outbox_folder: OutboxFolder) -> None:
    """Leftover files are claimed in the order of their creation."""
    paths = [leftover_of(outbox_folder.path, event_line()) for _ in range(4)]

    files = claim_all(outbox_folder)

    assert [file.path for file in files] == paths == sorted(paths)
    for file in files:
        file.close()


@pytest.mark.parametrize(
    ("theirs", "is_ours"),
    [
        (BINDING, True),
        (Binding(base_url="http://other.test", key_id="3kTMd9aZ"), False),
        (Binding(base_url="http://backend.test", key_id="other"), False),
        (Binding(base_url="http://backend.test", key_id=None), False),
        (Binding(base_url="http://backend.test", key_id="old", provider_id=1), True),
        (Binding(base_url="http://backend.test", key_id="old", provider_id=2), False),
        (
            Binding(base_url="http://backend.test", key_id="3kTMd9aZ", provider_id=2),
            True,
        ),
    ],
)
def test_only_files_for_the_same_backend_and_provider_are_claimed(
    outbox_folder: OutboxFolder, theirs: Binding, is_ours: bool
) -> None:
    """Files of another address, provider or unknown key are not claimed."""
    path = leftover_of(outbox_folder.path, event_line(), binding=theirs)
    before = path.read_bytes()
    ours = Binding(base_url=BINDING.base_url, key_id=BINDING.key_id, provider_id=1)

    files = claim_all(outbox_folder, ours)

    assert [file.path for file in files] == ([path] if is_ours else [])
    assert path.read_bytes() == before
    for file in files:
        file.close()


FOREIGN: Final = {
    "empty": b"",
    "garbage": os.urandom(5000),
    "a header cut in its middle": HEADER.as_line()[:60],
    "a header without its end": HEADER.as_line().rstrip(),
    "another JSON": b'{"hello": "world"}\n' + event_line(),
    "JSON that is no object": b"[1]\n" + event_line(),
    "events without a header": event_line(),
    "no version": b'{"trackerapi_outbox": "1", "base_url": "http://backend.test"}\n',
    "no address": b'{"trackerapi_outbox": 1, "base_url": 5, "key_id": "3kTMd9aZ"}\n',
    "a newer version": NEWER.as_line() + event_line(),
    "a header that never ends": b"{" * 100_000,
    "deep nesting": b'{"trackerapi_outbox":' + b"[" * 10_000 + b"\n",
    "zeros, as after a power cut": b"\0" * 4096,
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_file_is_left_alone(outbox_folder: OutboxFolder, name: str) -> None:
    """A foreign file stays unchanged and does not stop the search."""
    foreign = outbox_folder.path / "1-foreign.outbox"
    foreign.write_bytes(FOREIGN[name])
    ours = leftover_of(outbox_folder.path, event_line())

    files = claim_all(outbox_folder)
    outbox_folder.find_creation(BINDING, "job")
    outbox_folder.purge(older_than_seconds=0)

    assert [file.path for file in files] == [ours]
    assert foreign.read_bytes() == FOREIGN[name]
    assert set(outbox_folder.path.iterdir()) == {foreign, ours}
    files[0].close()


@pytest.mark.parametrize("kind", ["folder", "dangling link", "link to itself"])
def test_unreadable_name_is_left_alone(outbox_folder: OutboxFolder, kind: str) -> None:
    """A folder or broken link named `*.outbox` stays and does not stop the search."""
    foreign = outbox_folder.path / "1-foreign.outbox"
    match kind:
        case "folder":
            foreign.mkdir()
        case "dangling link":
            foreign.symlink_to("nowhere")
        case _:
            foreign.symlink_to(foreign.name)
    ours = leftover_of(outbox_folder.path, event_line())

    files = claim_all(outbox_folder)

    assert [file.path for file in files] == [ours]
    assert outbox_folder.find_creation(BINDING, "job") is None
    assert foreign.is_symlink() or foreign.is_dir()
    files[0].close()


def test_pipe_with_a_matching_name_blocks_nothing(outbox_folder: OutboxFolder) -> None:
    """A pipe named `*.outbox` does not block the search for leftover files."""
    pipe = outbox_folder.path / "1-pipe.outbox"
    os.mkfifo(pipe)
    found: list[list[OutboxFile]] = []
    looking = threading.Thread(
        target=lambda: found.append(claim_all(outbox_folder)), daemon=True
    )
    looking.start()
    looking.join(PATIENCE_SECONDS / 4)
    is_stuck = looking.is_alive()
    while looking.is_alive():  # Unblock the thread that opens the pipe.
        os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))
        looking.join(0.1)

    assert not is_stuck
    assert found == [[]]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_of_another_user_is_left_alone(outbox_folder: OutboxFolder) -> None:
    """A file that cannot be read does not stop the search for leftover files."""
    foreign = leftover_of(outbox_folder.path, event_line())
    foreign.chmod(0)
    ours = leftover_of(outbox_folder.path, event_line())

    files = claim_all(outbox_folder)

    assert [file.path for file in files] == [ours]
    files[0].close()


def test_name_of_another_kind_is_ignored(outbox_folder: OutboxFolder) -> None:
    """Only names that end in `.outbox` are outbox files."""
    for name in ("1-a.outbox.bak", "1-a.ack", "1-a.held", "notes.txt"):
        (outbox_folder.path / name).write_bytes(HEADER.as_line() + event_line())

    assert outbox_folder.paths() == []


def test_living_processes_and_known_files_are_skipped(
    outbox_folder: OutboxFolder,
) -> None:
    """A process claims neither files of living owners nor its own files twice."""
    owned = OutboxFile.create(outbox_folder.path, BINDING)
    known = leftover_of(outbox_folder.path, event_line())
    free = leftover_of(outbox_folder.path, event_line())

    files = list(outbox_folder.claim(BINDING, {known}))

    assert [file.path for file in files] == [free]
    for file in (owned, *files):
        file.close()


def test_later_file_of_a_writer_waits_for_the_one_that_another_delivers(
    outbox_folder: OutboxFolder,
) -> None:
    """A file is not claimed while another process has an older file of its writer."""
    for writer in ("one", "one", "two"):
        OutboxFile.create(outbox_folder.path, BINDING, writer=writer).close()
    older, newer, other = outbox_folder.paths()
    busy = OutboxFile.claim(older)
    assert busy is not None

    files = list(outbox_folder.claim(BINDING, set()))
    assert [file.path for file in files] == [other]
    busy.close()
    files += outbox_folder.claim(BINDING, {other})

    assert [file.path for file in files] == [other, older, newer]
    for file in files:
        file.close()


def test_delivered_file_is_archived_with_its_position(
    outbox_folder: OutboxFolder,
) -> None:
    """A delivered file and its `.ack` are moved to the folder of delivered files."""
    line = event_line()
    path = leftover_of(outbox_folder.path, line)
    (file,) = claim_all(outbox_folder)
    settle_all(file)

    outbox_folder.release(file)

    assert outbox_folder.paths() == []
    (kept,) = outbox_folder.paths(delivered=True)
    assert kept == outbox_folder.delivered_path / path.name
    assert kept.read_bytes().endswith(line)
    assert kept.with_suffix(".ack").exists()
    assert not list(outbox_folder.path.glob("*.ack"))
    assert outbox_folder.delivered_path.stat().st_mode & 0o777 == 0o700


def test_emptied_journal_is_archived_too(
    outbox_folder: OutboxFolder,
) -> None:
    """A delivered file is archived if its journal has no held or deferred record."""
    line = event_line()
    leftover_of(outbox_folder.path, line)
    (file,) = claim_all(outbox_folder)
    settle_all(file)
    kept = JournalEntry(record=line, problem=problem(404), is_deferred=True)
    file.held.add([kept])
    file.held.remove([kept.record_id], "delivered")

    outbox_folder.release(file)

    assert list(outbox_folder.path.iterdir()) == [outbox_folder.delivered_path]


@pytest.mark.parametrize("waits", [True, False])
def test_file_with_held_or_deferred_records_stays(
    outbox_folder: OutboxFolder, waits: bool
) -> None:
    """A file with rejected or deferred records is not archived."""
    path = leftover_of(outbox_folder.path, event_line())
    (file,) = claim_all(outbox_folder)
    settle_all(file)
    file.held.add(
        [JournalEntry(record=event_line(), problem=problem(404), is_deferred=waits)]
    )

    outbox_folder.release(file)

    assert outbox_folder.paths() == [path]
    (again,) = claim_all(outbox_folder)
    again.held.refresh()
    assert sum(again.held.counts()) == 1
    again.close()


def test_file_with_undelivered_records_is_not_archived(
    outbox_folder: OutboxFolder,
) -> None:
    """A released file with undelivered records stays in the outbox folder."""
    path = leftover_of(outbox_folder.path, *event_lines(2))
    (file,) = claim_all(outbox_folder)

    outbox_folder.release(file)

    assert outbox_folder.paths() == [path]
    assert outbox_folder.paths(delivered=True) == []
    (again,) = claim_all(outbox_folder)
    assert not again.is_delivered
    again.close()


def test_file_without_a_lock_is_never_moved_or_deleted(
    outbox_folder: OutboxFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file claimed without a lock stays: its owner may still be alive."""
    path = leftover_of(outbox_folder.path, event_line())
    forbid_locks(monkeypatch)
    (file,) = claim_all(outbox_folder)
    settle_all(file)

    outbox_folder.release(file)
    outbox_folder.purge(older_than_seconds=-60)

    assert outbox_folder.paths() == [path]
    (again,) = claim_all(outbox_folder)
    assert again.is_delivered
    again.close()


def archived_file(outbox_folder: OutboxFolder, *, age_seconds: float) -> Path:
    """Return a file that was archived `age_seconds` ago."""
    leftover_of(outbox_folder.path, creation_line(), event_line())
    (file,) = claim_all(outbox_folder)
    settle_all(file)
    outbox_folder.release(file)
    path = outbox_folder.paths(delivered=True)[-1]
    moment = time.time() - age_seconds
    os.utime(path, (moment, moment))
    return path


def test_delivered_files_are_kept_for_a_day(outbox_folder: OutboxFolder) -> None:
    """`purge()` deletes files that were archived more than a day ago."""
    old = archived_file(outbox_folder, age_seconds=KEEP_DELIVERED_SECONDS + 60)
    young = archived_file(outbox_folder, age_seconds=KEEP_DELIVERED_SECONDS - 60)

    outbox_folder.purge()

    assert outbox_folder.paths(delivered=True) == [young]
    assert not old.with_suffix(".ack").exists()
    assert young.with_suffix(".ack").exists()


def test_archive_time_begins_with_the_delivery(outbox_folder: OutboxFolder) -> None:
    """The day in the archive begins with the delivery, not with the recording."""
    path = leftover_of(outbox_folder.path, event_line())
    three_days_ago = time.time() - 3 * 24 * 3600
    os.utime(path, (three_days_ago, three_days_ago))
    (file,) = claim_all(outbox_folder)
    settle_all(file)
    outbox_folder.release(file)

    outbox_folder.purge()

    assert len(outbox_folder.paths(delivered=True)) == 1


def test_purge_deletes_no_undelivered_record(outbox_folder: OutboxFolder) -> None:
    """`purge()` keeps undelivered files of any age."""
    path = leftover_of(outbox_folder.path, event_line())
    os.utime(path, (0, 0))

    outbox_folder.purge(older_than_seconds=0)

    assert outbox_folder.paths() == [path]


def test_creation_is_found_in_any_file_of_the_provider(
    outbox_folder: OutboxFolder,
) -> None:
    """A creation is found in leftover files and in archived files."""
    archived_file(outbox_folder, age_seconds=60)
    leftover_of(outbox_folder.path, event_line(), creation_line("other", "done"))

    for job in ("job", "other"):
        creation = outbox_folder.find_creation(BINDING, job)
        assert creation is not None
        assert creation.provider_job_id == job
    assert outbox_folder.find_creation(BINDING, "unknown") is None


def test_newest_creation_of_a_job_is_found(outbox_folder: OutboxFolder) -> None:
    """If a job has several creations, the newest of them is found."""
    leftover_of(outbox_folder.path, creation_line(state="held"))
    leftover_of(
        outbox_folder.path, creation_line(), event_line(), creation_line(state="done")
    )

    creation = outbox_folder.find_creation(BINDING, "job")

    assert creation is not None
    assert creation.state == "done"


@pytest.mark.parametrize("looks_first_at", ["waiting", "delivered"])
def test_file_that_is_archived_meanwhile_is_read(
    outbox_folder: OutboxFolder,
    monkeypatch: pytest.MonkeyPatch,
    looks_first_at: str,
) -> None:
    """A file that is archived between listing and reading is still read."""
    leftover_of(outbox_folder.path, creation_line(), event_line(tag="load"))
    look = outbox_folder.paths

    def look_and_deliver(*, delivered: bool = False) -> list[Path]:
        found = look(delivered=delivered)
        if delivered == (looks_first_at == "delivered"):
            for file in claim_all(OutboxFolder(outbox_folder.path)):
                settle_all(file)
                outbox_folder.release(file)
        return found

    monkeypatch.setattr(outbox_folder, "paths", look_and_deliver)

    events = outbox_folder.events_of(BINDING, "job")
    assert [event["tag"] for event in events] == ["load"]


@pytest.mark.parametrize("search", ["events_of", "find_creation"])
def test_file_that_is_replaced_meanwhile_is_read(
    outbox_folder: OutboxFolder, monkeypatch: pytest.MonkeyPatch, search: str
) -> None:
    """The replacement of a file that vanishes between listing and reading is read."""
    thick = leftover_of(outbox_folder.path, creation_line(), event_line())
    look = outbox_folder.paths

    def look_and_thin_out(*, delivered: bool = False) -> list[Path]:
        found = look(delivered=delivered)
        if thick in found:
            leftover_of(outbox_folder.path, creation_line(), event_line(), stem="1")
            thick.unlink()
        return found

    monkeypatch.setattr(outbox_folder, "paths", look_and_thin_out)

    assert getattr(outbox_folder, search)(BINDING, "job")


def test_creation_of_another_provider_is_not_found(
    outbox_folder: OutboxFolder,
) -> None:
    """A creation in a file of another provider is not found."""
    other = Binding(base_url=BINDING.base_url, key_id="other", provider_id=2)
    leftover_of(outbox_folder.path, creation_line(), binding=other)

    assert outbox_folder.find_creation(BINDING, "job") is None


def test_header_of_a_file_can_be_read_while_its_owner_lives(
    outbox_folder: OutboxFolder,
) -> None:
    """`header_of()` reads a file that its owner has locked."""
    owned = OutboxFile.create(outbox_folder.path, BINDING)

    header = header_of(owned.path)

    assert header is not None
    assert header.binding == BINDING
    owned.close()
