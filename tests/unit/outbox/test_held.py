"""Journal of held and deferred records, read and written by several processes."""

import json
import os
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.lines import creation_line, event_id_of, event_line
from tests.support.memory_backend import problem
from tests.support.outbox_folders import read_journal
from tests.support.small_disk import SmallDisk
from trackerapi.outbox.held import HeldJournal, JournalEntry

PROBLEM: Final = problem(422, "the tag has a line end")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a journal."""
    return tmp_path / "1-a.held"


def held_entry(line: bytes) -> JournalEntry:
    """Return a journal entry of a rejected record."""
    return JournalEntry(record=line, problem=PROBLEM)


def deferred_entry(line: bytes) -> JournalEntry:
    """Return a journal entry of a deferred record, whose job is unknown."""
    return JournalEntry(record=line, problem=problem(404), is_deferred=True)


def lines_in(journal: HeldJournal) -> list[bytes]:
    """Return the records of a journal."""
    return [kept.record for kept in journal.entries()]


def test_journal_is_created_with_the_first_held_record(path: Path) -> None:
    """Empty additions and removals do not create a journal file."""
    journal = read_journal(path)

    journal.add([])
    journal.remove([], "delivered")

    assert journal.counts() == (0, 0)
    assert list(journal.entries()) == []
    assert not path.exists()


def test_held_record_is_read_unchanged(path: Path) -> None:
    """A new reader gets the record byte for byte, with its reason and time."""
    line = event_line(message="Grüße \U0001f600 \\ \" ' \x7f")
    HeldJournal(path).add([held_entry(line)])

    (kept,) = read_journal(path).entries()

    assert kept.record == line
    assert dict(kept.problem) == PROBLEM
    assert kept.reason == "the tag has a line end"
    assert kept.record_id == event_id_of(line)
    assert kept.provider_job_id == "job"
    assert not kept.is_deferred
    assert kept.creation is None
    assert kept.since.endswith("Z")
    assert path.stat().st_mode & 0o777 == 0o600


def test_held_creation_is_known_as_a_creation(path: Path) -> None:
    """An entry of a creation has `creation` set."""
    HeldJournal(path).add([held_entry(creation_line("refused"))])

    (kept,) = read_journal(path).entries()

    assert kept.creation is not None
    assert kept.creation.provider_job_id == kept.provider_job_id == "refused"


def test_held_and_deferred_records_are_counted_separately(path: Path) -> None:
    """Counts, jobs and entries are separate for rejected and deferred records."""
    journal = HeldJournal(path)
    journal.add(
        [
            held_entry(creation_line("refused")),
            held_entry(event_line(job="refused")),
            held_entry(event_line(job="fine")),
            deferred_entry(event_line(job="unknown")),
        ]
    )

    for seen in (journal, read_journal(path)):
        assert seen.counts() == (3, 1)
        assert seen.rejected_jobs() == {"refused"}
        assert seen.deferred_jobs() == {"unknown"}
        assert len(list(seen.entries(is_deferred=True))) == 1
        assert len(list(seen.entries(is_deferred=False))) == 3
        assert len(list(seen.entries(provider_job_id="refused"))) == 2
        assert not list(seen.entries(is_deferred=True, provider_job_id="refused"))


def test_released_record_is_gone_for_every_reader(path: Path) -> None:
    """A record that one reader removes is gone for all readers after a refresh."""
    journal, other = HeldJournal(path), HeldJournal(path)
    lines = [event_line() for _ in range(3)]
    journal.add([deferred_entry(line) for line in lines])

    other.remove([event_id_of(lines[1]), "never seen"], "delivered")

    journal.refresh()
    for seen in (journal, other, read_journal(path)):
        assert lines_in(seen) == [lines[0], lines[2]]


def test_record_held_again_keeps_its_position_and_time(path: Path) -> None:
    """A deferred record that is now rejected keeps its position and its time."""
    journal = HeldJournal(path)
    first, second = event_line(), event_line()
    old = JournalEntry(
        record=first, problem=PROBLEM, is_deferred=True, since="2026-11-01T00:00:00Z"
    )
    journal.add([old, deferred_entry(second)])

    (kept, _) = journal.entries()
    journal.add([JournalEntry(record=first, problem=PROBLEM, since=kept.since)])

    for seen in (journal, read_journal(path)):
        assert lines_in(seen) == [first, second]
        assert next(seen.entries()).since == "2026-11-01T00:00:00Z"
        assert seen.counts() == (1, 1)


def test_line_torn_at_any_byte_hides_no_other(path: Path) -> None:
    """A torn line hides only its own record; earlier and later records are read."""
    lines = [event_line(), event_line(), event_line()]
    journal = HeldJournal(path)
    journal.add([held_entry(lines[0])])
    whole = path.stat().st_size
    journal.add([held_entry(lines[1])])
    content = path.read_bytes()

    for cut in range(whole, len(content)):
        path.write_bytes(content[:cut])
        survivor = read_journal(path)
        assert lines_in(survivor) == [lines[0]], cut
        survivor.add([held_entry(lines[2])])
        expected = [lines[0], lines[2]]
        # If only the line end is missing, the record is whole.
        if cut == len(content) - 1:
            expected.insert(1, lines[1])
        assert lines_in(survivor) == expected, cut
        assert lines_in(read_journal(path)) == expected, cut


def test_line_that_is_still_being_written_is_read_once_it_is_whole(path: Path) -> None:
    """A half-written line is read by the first refresh after its write has ended."""
    line = event_line()
    HeldJournal(path).add([held_entry(line)])
    content = path.read_bytes()
    path.write_bytes(content[:50])
    journal = read_journal(path)
    assert lines_in(journal) == []

    with path.open("ab") as file:
        file.write(content[50:])
    journal.refresh()

    assert lines_in(journal) == [line]


def test_unreadable_journal_is_not_forgotten(path: Path) -> None:
    """If the journal cannot be opened, a refresh keeps the records read before."""
    journal = read_journal(path)
    journal.add([held_entry(event_line())])
    path.unlink()
    path.symlink_to(path)  # A link to itself cannot be opened.

    journal.refresh()

    assert journal.counts() == (1, 0)


def test_new_journal_of_the_same_name_is_read_again(path: Path) -> None:
    """After a journal is replaced by a new file, only the new records are read."""
    journal = HeldJournal(path)
    journal.add([held_entry(event_line()), held_entry(event_line())])
    path.unlink()
    journal.refresh()
    assert journal.counts() == (0, 0)

    line = event_line()
    HeldJournal(path).add([held_entry(line)])
    journal.refresh()

    assert lines_in(journal) == [line]


@pytest.mark.parametrize("room_bytes", [0, 1, 100])
def test_record_without_room_is_not_held(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch, room_bytes: int
) -> None:
    """If the disk is full, `add()` raises, and the record is not in the journal."""
    disk = SmallDisk(monkeypatch, tmp_path)
    journal = HeldJournal(path)
    first, refused, last = event_line(), event_line(), event_line()
    journal.add([held_entry(first)])

    disk.room_bytes = room_bytes
    with pytest.raises(OSError, match=r"room|space"):
        journal.add([held_entry(refused)])
    disk.room_bytes = None
    journal.refresh()
    assert lines_in(journal) == [first]
    journal.add([held_entry(last)])

    assert lines_in(read_journal(path)) == [first, last]


def test_full_disk_keeps_records_of_another_writer(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed write, a record that another process added before it stays."""
    theirs, ours = event_line(), event_line()
    journal, other = HeldJournal(path), HeldJournal(path)
    write = os.write

    def write_behind_another(fd: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", write)
        other.add([held_entry(theirs)])
        return write(fd, data[:20])

    monkeypatch.setattr(os, "write", write_behind_another)
    with pytest.raises(OSError, match="No space"):
        journal.add([held_entry(ours)])

    assert lines_in(read_journal(path)) == [theirs]


@pytest.mark.parametrize(
    "damage",
    [
        b"\n",
        b"garbage\n",
        b"\x00\xff\n",
        b"[]\n",
        b"5\n",
        b'{"keep": null}\n',
        b'{"release": null}\n',
        b'{"release": 5}\n',
        b'{"release": [[]]}\n',
        b"[" * 100_000 + b"\n",
    ],
    ids=lambda damage: repr(damage[:20]),
)
def test_damaged_line_is_skipped(path: Path, damage: bytes) -> None:
    """A damaged line does not hide the records before and after it."""
    first, last = event_line(), event_line()
    HeldJournal(path).add([held_entry(first)])
    with path.open("ab") as file:
        file.write(damage)
    journal = read_journal(path)
    journal.add([held_entry(last)])

    found = lines_in(read_journal(path))

    assert found[0] == first
    assert found[-1] == last


def test_damaged_record_has_an_id_of_its_own(path: Path) -> None:
    """Each damaged record has its own id, so it can be removed separately."""
    journal = HeldJournal(path)
    one, two = held_entry(b"not json\n"), held_entry(b"not json either\n")
    journal.add([one, two, one])
    assert lines_in(journal) == [one.record, two.record]

    journal.remove([one.record_id], "dropped")

    assert lines_in(read_journal(path)) == [two.record]


IDS: Final = [f"00000000-0000-0000-0000-00000000000{number}" for number in range(4)]


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["keep", "wait", "release"]),
            st.sets(st.sampled_from(IDS), min_size=1),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_journal_is_the_fold_of_its_actions(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, set[str], bool]],
) -> None:
    """Additions and removals by two writers give every reader the same records."""
    path = tmp_path_factory.mktemp("journal") / "1-a.held"
    here, there = HeldJournal(path), HeldJournal(path)
    expected: dict[str, bool] = {}
    for action, ids, is_here in steps:
        journal = here if is_here else there
        ordered = sorted(ids)
        if action == "release":
            journal.remove(ordered, "delivered")
            for event_id in ordered:
                expected.pop(event_id, None)
        else:
            make = held_entry if action == "keep" else deferred_entry
            journal.add([make(event_line(event_id=one)) for one in ordered])
            expected.update(dict.fromkeys(ordered, action == "wait"))

    for journal in (here, there, HeldJournal(path)):
        journal.refresh()
        found = {kept.record_id: kept.is_deferred for kept in journal.entries()}
        assert list(found.items()) == list(expected.items())
        assert sum(journal.counts()) == len(expected)


def test_every_line_of_the_journal_is_json(path: Path) -> None:
    """Lines of held and of removed records are JSON objects."""
    journal = HeldJournal(path)
    line = event_line()
    journal.add([held_entry(line)])
    journal.remove([event_id_of(line)], "dropped")

    kept, released = map(json.loads, path.read_text().splitlines())

    assert kept["problem"] == PROBLEM
    assert kept["record"] == line.decode()
    assert released == {"release": [event_id_of(line)], "as": "dropped"}
