"""A delivery pass: its files, their order, and their state afterwards."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.lines import (
    creation_line,
    event_id_of,
    event_line,
    event_lines,
)
from tests.support.memory_backend import (
    Fault,
    MemoryBackend,
    key_refused,
    lost_answer,
    problem,
    unavailable,
)
from tests.support.no_locks import forbid_locks
from tests.support.reporting_process import BINDING, ReportingProcess
from trackerapi.errors import AuthenticationError, BackendError, BackendUnavailable
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.folder import OutboxFolder
from trackerapi.outbox.header import Binding, header_of
from trackerapi.outbox.providers import FILE_NAME

ROTATED: Final = Binding(base_url=BINDING.base_url, key_id="newkey12")


def record_and_kill(
    folder: Path,
    memory: MemoryBackend,
    *lines: bytes,
    binding: Binding = BINDING,
) -> None:
    """Record lines in a new process, and kill the process."""
    process = ReportingProcess(folder, memory, binding=binding)
    process.append(*lines)
    process.kill()


def names_in(folder: Path) -> list[str]:
    """Return the sorted names of the files in a folder, except the provider memory."""
    names = (path.name for path in folder.iterdir() if path.is_file())
    return sorted(name for name in names if name != FILE_NAME)


def test_next_process_delivers_leftovers_of_a_killed_one(
    folder: Path, process: ReportingProcess, memory: MemoryBackend
) -> None:
    """Leftover records are sent before own records; both files are archived."""
    theirs, ours = event_lines(3), event_lines(3)
    record_and_kill(folder, memory, *theirs)
    process.append(*ours)

    process.deliver()
    process.close()

    assert list(memory.events.values()) == [*theirs, *ours]
    assert names_in(folder) == []
    assert len(OutboxFolder(folder).paths(delivered=True)) == 2


def test_search_is_complete_when_all_leftovers_are_claimed(
    folder: Path,
    process: ReportingProcess,
    memory: MemoryBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`is_search_complete` is False until all leftover files are claimed."""
    record_and_kill(folder, memory, event_line())
    assert process.parts.folder is not None
    claim, was_complete = process.parts.folder.claim, list[bool]()

    def watched(*which: Any) -> Iterator[OutboxFile]:
        was_complete.append(process.passes.is_search_complete)
        yield from claim(*which)
        was_complete.append(process.passes.is_search_complete)

    monkeypatch.setattr(process.parts.folder, "claim", watched)
    process.passes.claim_leftovers()

    assert was_complete == [False, False]
    assert process.passes.is_search_complete
    assert len(process.passes.leftovers) == 1
    process.kill()


@pytest.mark.parametrize("fault", [None, unavailable()])
def test_search_is_incomplete_until_the_provider_is_known(
    folder: Path, memory: MemoryBackend, fault: Fault | None
) -> None:
    """Once the provider is known, a search for files of its other keys is due."""
    record_and_kill(
        folder, memory, event_line(), binding=replace(BINDING, provider_id=1)
    )
    process = ReportingProcess(folder, memory, binding=ROTATED)
    was_complete: list[bool] = []
    memory.on_request = lambda _: was_complete.append(process.passes.is_search_complete)
    memory.fail_next("identify", fault)
    with nullcontext() if fault is None else pytest.raises(BackendUnavailable):
        process.passes.claim_leftovers()
        process.passes.deliver_batches()

    assert was_complete == [False]
    # After a failed `identify()` the search counts as complete: a close must not
    # wait for an unavailable backend.
    assert process.passes.is_search_complete is (fault is not None)
    process.kill()


def test_half_delivered_file_is_delivered_to_its_end(
    folder: Path, process: ReportingProcess, memory: MemoryBackend
) -> None:
    """After a kill between two batches, the next process stores each event once."""
    lines = event_lines(2300)
    dying = ReportingProcess(folder, memory)
    dying.append(*lines)
    dying.run_pass()
    memory.fail_next("send", lost_answer())
    with pytest.raises(BackendUnavailable):
        dying.run_pass()
    dying.kill()

    process.deliver()

    assert list(memory.events.values()) == lines


@pytest.mark.parametrize("is_dead", [False, True])
def test_files_of_one_process_are_delivered_in_turn(
    folder: Path, memory: MemoryBackend, is_dead: bool
) -> None:
    """A job's events keep their order across the files of a process."""
    owner = ReportingProcess(folder, memory, limit_bytes=8 * 200_000)
    lines = event_lines(6000)
    owner.append(*lines)
    assert len(owner.outbox.files) > 2
    deliverer = owner
    if is_dead:
        owner.kill()
        deliverer = ReportingProcess(folder, memory)

    deliverer.deliver()

    assert list(memory.events.values()) == lines
    deliverer.kill()


def test_record_appended_before_archiving_is_delivered(
    process: ReportingProcess, memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record appended just before its file is archived is still delivered."""
    lines = event_lines(2)
    process.append(lines[0])
    is_current = process.outbox.is_current

    def report_first(file: OutboxFile) -> bool:
        if lines[1:]:
            process.append(lines.pop())
            process.outbox.end_current_file()
        return is_current(file)

    monkeypatch.setattr(process.outbox, "is_current", report_first)
    process.run_pass()

    assert process.outbox.undelivered_count == 1
    process.deliver()
    assert len(memory.events) == 2


def test_deferred_event_of_a_leftover_precedes_its_next_file(
    folder: Path, process: ReportingProcess, memory: MemoryBackend
) -> None:
    """Deferred events of a killed process are sent before records of its next file."""
    first, second = event_lines(2, "late")
    dying = ReportingProcess(folder, memory)
    dying.append(first)
    dying.run_pass()
    dying.outbox.end_current_file()
    dying.append(second)
    dying.kill()
    memory.jobs["late"] = {}

    process.deliver()

    assert list(memory.events.values()) == [first, second]


def test_creation_precedes_events_in_the_next_file(
    folder: Path, memory: MemoryBackend
) -> None:
    """Events in a second file are delivered after the creation in the first file."""
    process = ReportingProcess(folder, memory)
    lines = event_lines(3, "new")
    process.append(creation_line("new"), lines[0])
    process.outbox.end_current_file()
    process.append(*lines[1:])

    process.deliver()

    assert list(memory.events.values()) == lines
    assert "job-unknown" not in process.reported_kinds
    process.kill()


def test_living_process_keeps_its_file(
    folder: Path, process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A process delivers no files of another living process."""
    living = ReportingProcess(folder, memory)
    living.append(event_line())

    process.run_pass()

    assert memory.events == {}
    living.kill()


def test_provider_is_written_into_every_file_before_its_first_batch(
    folder: Path, process: ReportingProcess, memory: MemoryBackend
) -> None:
    """The provider id is written into each file header before the first batch."""
    record_and_kill(folder, memory, event_line())
    process.append(event_line())
    memory.provider_id = 77
    memory.fail_next("send", unavailable())

    process.passes.claim_leftovers()
    with pytest.raises(BackendUnavailable):
        process.passes.deliver_batches()

    for path in folder.glob("*.outbox"):
        header = header_of(path)
        assert header is not None
        assert header.binding.provider_id == 77
    process.outbox.end_current_file()
    process.append(event_line())
    header = header_of(process.outbox.files[-1].path)
    assert header is not None
    assert header.binding.provider_id == 77
    assert memory.identify_count == 1


def test_nothing_is_sent_before_the_provider_is_known(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """Until `identify()` returns the provider, no creation and no event is sent."""
    process.append(creation_line("new"), event_line())
    memory.fail_next("identify", unavailable(), key_refused())

    for _ in range(2):
        with pytest.raises(BackendError):
            process.run_pass()

    assert memory.batches == []
    assert memory.creations == []
    process.deliver()
    assert memory.identify_count == 3


def test_key_that_now_belongs_to_another_provider_sends_no_record(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """If the key now belongs to another provider, passes raise and send no record."""
    first, second = event_lines(2)
    process.append(first)
    process.deliver()
    process.append(second)
    memory.fail_next("send", key_refused())
    with pytest.raises(AuthenticationError):
        process.run_pass()
    process.passes.reload_key()
    memory.provider_id = 2

    for _ in range(2):
        with pytest.raises(AuthenticationError, match="another provider"):
            process.run_pass()

    assert list(memory.events.values()) == [first]
    assert memory.reload_count == 1
    memory.provider_id = 1
    process.deliver()
    assert list(memory.events.values()) == [first, second]


@pytest.mark.parametrize("has_own", [True, False])
def test_new_key_of_the_same_provider_delivers_leftovers_of_the_old_one(
    folder: Path, memory: MemoryBackend, has_own: bool
) -> None:
    """A new key of the same provider delivers leftover files of the old key."""
    line = event_line()
    dying = ReportingProcess(folder, memory)
    dying.append(line)
    memory.fail_next("send", unavailable())
    with pytest.raises(BackendUnavailable):
        dying.run_pass()
    dying.kill()
    process = ReportingProcess(folder, memory, binding=ROTATED)
    if has_own:
        process.append(event_line())

    for _ in range(3):
        process.passes.claim_leftovers()
        if process.passes.has_due_requests():
            process.passes.deliver_batches()

    assert event_id_of(line) in memory.events
    process.kill()


def test_files_of_other_providers_and_addresses_stay(
    folder: Path, process: ReportingProcess, memory: MemoryBackend
) -> None:
    """Files of another address, provider or unknown key stay in the folder."""
    elsewhere = Binding(base_url="http://other.test", key_id=BINDING.key_id)
    stranger = Binding(base_url=BINDING.base_url, key_id="stranger", provider_id=2)
    for binding in (elsewhere, stranger, ROTATED):
        record_and_kill(folder, memory, event_line(), binding=binding)
    before = names_in(folder)
    line = event_line()
    process.append(line)

    process.deliver()
    process.close()

    assert list(memory.events.values()) == [line]
    assert names_in(folder) == before


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".ack", b"garbage"),
        (".ack", b'{"position": 1e999, "delivered": 0}'),
        (".ack", b"[" * 100_000),
        (".held", b"garbage\n\0\n"),
        (".held", b'{"release": 5}\n'),
    ],
)
def test_damage_beside_one_file_delays_no_other(
    folder: Path,
    process: ReportingProcess,
    memory: MemoryBackend,
    suffix: str,
    content: bytes,
) -> None:
    """With a damaged `.ack` or `.held`, this file and all others are delivered."""
    line, other, own = event_lines(3)
    record_and_kill(folder, memory, line)
    (path,) = folder.glob("*.outbox")
    path.with_suffix(suffix).write_bytes(content)
    record_and_kill(folder, memory, other)
    process.append(own)

    process.deliver()

    assert list(memory.events.values()) == [line, other, own]


def test_leftover_with_an_unusable_journal_is_set_aside(
    folder: Path, process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A file with an unreadable `.held` is skipped, and one warning names it."""
    line, other, own, late = event_lines(4)
    record_and_kill(folder, memory, line)
    (path,) = folder.glob("*.outbox")
    path.with_suffix(".held").mkdir()
    record_and_kill(folder, memory, other)
    process.append(own)

    process.deliver()
    process.append(late)
    process.deliver()

    assert list(memory.events.values()) == [other, own, late]
    assert process.reported_kinds == ["left-behind"]
    assert str(path.with_suffix(".held")) in process.reported[0].message
    path.with_suffix(".held").rmdir()
    process.deliver()
    assert line in memory.events.values()


def test_leftover_that_fails_during_its_delivery_is_set_aside(
    folder: Path, process: ReportingProcess, memory: MemoryBackend
) -> None:
    """If a rejection cannot be written, only its own file stays undelivered."""
    bad, other, own = event_lines(3)
    record_and_kill(folder, memory, bad)
    (path,) = folder.glob("*.outbox")
    record_and_kill(folder, memory, other)
    process.append(own)
    memory.rejected_events[event_id_of(bad)] = problem(422)

    def take_journal(kind: str) -> None:
        if kind == "send" and not path.with_suffix(".held").exists():
            path.with_suffix(".held").mkdir()

    memory.on_request = take_journal
    process.deliver()
    process.close()

    assert list(memory.events.values()) == [other, own]
    assert process.reported_kinds == ["left-behind"]
    assert path.exists()


def test_foreign_files_do_not_delay_own_records(
    folder: Path, process: ReportingProcess, memory: MemoryBackend
) -> None:
    """Folders and empty, damaged or newer files do not delay own records."""
    folder.mkdir()
    (folder / "0-folder.outbox").mkdir()
    (folder / "0-empty.outbox").touch()
    (folder / "0-garbage.outbox").write_bytes(b"\0\xff" * 10_000)
    (folder / "0-loop.outbox").symlink_to("0-loop.outbox")
    newer = json.dumps({"trackerapi_outbox": 2, **_members()}).encode() + b"\n"
    (folder / "0-newer.outbox").write_bytes(newer + event_line())
    line = event_line()
    process.append(line)

    process.deliver()
    process.close()

    assert list(memory.events.values()) == [line]
    assert (folder / "0-newer.outbox").read_bytes().startswith(newer)
    assert len(list(folder.glob("0-*"))) == 5


def _members() -> dict[str, object]:
    return {
        "base_url": BINDING.base_url,
        "key_id": BINDING.key_id,
        "provider_id": None,
    }


def test_two_processes_that_deliver_one_file_store_each_event_once(
    folder: Path, memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without locks two processes send one file, and each event is stored once."""
    forbid_locks(monkeypatch)
    refused, late = event_line(), event_line(job="late")
    memory.rejected_events[event_id_of(refused)] = problem(422)
    lines = event_lines(2000)
    owner, other = (ReportingProcess(folder, memory) for _ in range(2))
    owner.append(refused, late, *lines[:1500])
    other.run_pass()
    owner.append(*lines[1500:])
    owner.run_pass()
    other.run_pass()
    memory.jobs["late"] = {}

    owner.deliver()
    other.deliver()

    assert set(memory.events.values()) == {late, *lines}
    assert [line for line in memory.events.values() if line != late] == lines
    owner.close()
    other.close()
    reader = ReportingProcess(folder, memory)
    reader.deliver()
    assert len(memory.events) == 2001
    # The file is not archived: without locks its owner may still live.
    assert len(list(folder.glob("*.outbox"))) == 1
    reader.close()


def test_records_added_to_a_claimed_file_precede_the_next_file(
    folder: Path, memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without locks, records added to a claimed file precede the next file."""
    forbid_locks(monkeypatch)
    lines = event_lines(4)
    owner, other = (ReportingProcess(folder, memory) for _ in range(2))
    owner.append(lines[0])
    memory.fail_next("send", unavailable())
    with pytest.raises(BackendUnavailable):
        other.run_pass()
    owner.append(lines[1])
    owner.outbox.end_current_file()
    owner.append(*lines[2:])
    other.passes.search_again()
    other.deliver()
    owner.deliver()

    assert list(memory.events.values()) == lines
    owner.close()
    other.close()


def test_file_without_a_lock_whose_owner_goes_on_is_delivered_to_its_end(
    folder: Path, memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without locks, records added after the first pass are sent by the next pass."""
    forbid_locks(monkeypatch)
    owner, other = (ReportingProcess(folder, memory) for _ in range(2))
    first, second = event_lines(2)
    owner.append(first)
    other.deliver()
    owner.append(second)
    owner.kill()

    other.deliver()

    assert list(memory.events.values()) == [first, second]
    other.close()


def test_rejected_record_of_a_leftover_stays(
    folder: Path, process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A leftover file with a rejected record stays in the folder with its journal."""
    refused, good = event_lines(2)
    memory.rejected_events[event_id_of(refused)] = problem(422, "no such kind")
    record_and_kill(folder, memory, refused, good)

    process.deliver()
    process.close()

    assert list(memory.events.values()) == [good]
    (path,) = folder.glob("*.held")
    assert "no such kind" in path.read_text()
    assert path.with_suffix(".outbox").exists()


def test_deferred_record_of_a_leftover_is_delivered_when_its_job_is_known(
    folder: Path, process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A deferred record of a killed process is delivered once its job exists."""
    line = event_line(job="late")
    record_and_kill(folder, memory, line)
    other = ReportingProcess(folder, memory)
    other.run_pass()
    assert memory.events == {}
    other.kill()
    memory.jobs["late"] = {}

    process.deliver()
    process.close()

    assert list(memory.events.values()) == [line]
    assert names_in(folder) == []


def test_retries_of_deferred_events_become_rarer(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """Retries become rarer: 30 passes send fewer than 10 batches."""
    process.append(event_line(job="late"))
    process.passes.claim_leftovers()
    for _ in range(30):
        if process.passes.has_due_requests():
            process.passes.deliver_batches()

    assert len(memory.batches) < 10
    seconds = process.passes.seconds_until_retry()
    assert seconds is not None
    assert seconds >= 0


def test_purge_keeps_a_file_delivered_a_moment_before(
    folder: Path, process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A later search does not purge a file that was delivered a moment before."""
    record_and_kill(folder, memory, event_line())

    process.deliver()
    process.run_pass()

    assert len(OutboxFolder(folder).paths(delivered=True)) == 1
