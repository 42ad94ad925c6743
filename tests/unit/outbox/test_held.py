"""The journal of what was kept aside: one fold for all processes, torn or not."""

import json
import os
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.lines import creation_line, event_id_of, event_line
from tests.support.memory_backend import problem
from tests.support.outbox_folders import read_anew
from tests.support.small_disk import SmallDisk
from trackerapi.outbox.held import HeldJournal, JournalEntry

PROBLEM: Final = problem(422, "the tag has a line end")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a journal may lie."""
    return tmp_path / "1-a.held"


def held(line: bytes) -> JournalEntry:
    """Return a record that was refused."""
    return JournalEntry(record=line, problem=PROBLEM)


def waiting(line: bytes) -> JournalEntry:
    """Return a record whose job is not known."""
    return JournalEntry(record=line, problem=problem(404), is_deferred=True)


def lines_in(journal: HeldJournal) -> list[bytes]:
    """Return the records that a journal holds."""
    return [kept.record for kept in journal.entries()]


def test_journal_is_not_on_disk_until_something_is_kept(path: Path) -> None:
    """A folder of outbox files without refusals has no journals."""
    journal = read_anew(path)

    journal.add([])
    journal.remove([], "delivered")

    assert journal.counts() == (0, 0)
    assert list(journal.entries()) == []
    assert not path.exists()


def test_kept_record_comes_back_as_it_was(path: Path) -> None:
    """Record, reason and time survive the process, byte for byte."""
    line = event_line(message="Grüße \U0001f600 \\ \" ' \x7f")
    HeldJournal(path).add([held(line)])

    (kept,) = read_anew(path).entries()

    assert kept.record == line
    assert dict(kept.problem) == PROBLEM
    assert kept.reason == "the tag has a line end"
    assert kept.record_id == event_id_of(line)
    assert kept.provider_job_id == "job"
    assert not kept.is_deferred
    assert kept.creation is None
    assert kept.since.endswith("Z")
    assert path.stat().st_mode & 0o777 == 0o600


def test_creation_that_is_kept_is_known_as_one(path: Path) -> None:
    """A creation is told from an event of the same job."""
    HeldJournal(path).add([held(creation_line("refused"))])

    (kept,) = read_anew(path).entries()

    assert kept.creation is not None
    assert kept.creation.provider_job_id == kept.provider_job_id == "refused"


def test_held_and_waiting_records_are_counted_apart(path: Path) -> None:
    """What was refused for good waits for nobody."""
    journal = HeldJournal(path)
    journal.add(
        [
            held(creation_line("refused")),
            held(event_line(job="refused")),
            held(event_line(job="fine")),
            waiting(event_line(job="unknown")),
        ]
    )

    for seen in (journal, read_anew(path)):
        assert seen.counts() == (3, 1)
        assert seen.rejected_jobs() == {"refused"}
        assert seen.deferred_jobs() == {"unknown"}
        assert len(list(seen.entries(is_deferred=True))) == 1
        assert len(list(seen.entries(is_deferred=False))) == 3
        assert len(list(seen.entries(provider_job_id="refused"))) == 2
        assert not list(seen.entries(is_deferred=True, provider_job_id="refused"))


def test_released_record_is_gone_for_every_reader(path: Path) -> None:
    """What was delivered or dropped does not come back."""
    journal, other = HeldJournal(path), HeldJournal(path)
    lines = [event_line() for _ in range(3)]
    journal.add([waiting(line) for line in lines])

    other.remove([event_id_of(lines[1]), "never seen"], "delivered")

    journal.refresh()
    for seen in (journal, other, read_anew(path)):
        assert lines_in(seen) == [lines[0], lines[2]]


def test_record_kept_again_keeps_its_place_and_its_time(path: Path) -> None:
    """The order of a job's events does not change by trying them."""
    journal = HeldJournal(path)
    first, second = event_line(), event_line()
    old = JournalEntry(
        record=first, problem=PROBLEM, is_deferred=True, since="2026-11-01T00:00:00Z"
    )
    journal.add([old, waiting(second)])

    (kept, _) = journal.entries()
    journal.add([JournalEntry(record=first, problem=PROBLEM, since=kept.since)])

    for seen in (journal, read_anew(path)):
        assert lines_in(seen) == [first, second]
        assert next(seen.entries()).since == "2026-11-01T00:00:00Z"
        assert seen.counts() == (1, 1)


def test_line_torn_at_any_byte_hides_no_other(path: Path) -> None:
    """A writer that is killed costs at most the record it was writing."""
    lines = [event_line(), event_line(), event_line()]
    journal = HeldJournal(path)
    journal.add([held(lines[0])])
    whole = path.stat().st_size
    journal.add([held(lines[1])])
    content = path.read_bytes()

    for cut in range(whole, len(content)):
        path.write_bytes(content[:cut])
        survivor = read_anew(path)
        assert lines_in(survivor) == [lines[0]], cut
        survivor.add([held(lines[2])])
        expected = [lines[0], lines[2]]
        # Only its line end was missing: then the record is whole after all.
        if cut == len(content) - 1:
            expected.insert(1, lines[1])
        assert lines_in(survivor) == expected, cut
        assert lines_in(read_anew(path)) == expected, cut


def test_line_that_is_still_being_written_is_read_once_it_is_whole(path: Path) -> None:
    """A reader that comes in the middle of a write misses nothing later."""
    line = event_line()
    HeldJournal(path).add([held(line)])
    content = path.read_bytes()
    path.write_bytes(content[:50])
    journal = read_anew(path)
    assert lines_in(journal) == []

    with path.open("ab") as file:
        file.write(content[50:])
    journal.refresh()

    assert lines_in(journal) == [line]


def test_journal_that_cannot_be_looked_at_is_not_forgotten(path: Path) -> None:
    """A file system that fails for a moment does not make held records vanish."""
    journal = read_anew(path)
    journal.add([held(event_line())])
    path.unlink()
    path.symlink_to(path)  # not missing, and yet nobody can open it

    journal.refresh()

    assert journal.counts() == (1, 0)


def test_journal_that_was_made_anew_is_read_anew(path: Path) -> None:
    """What somebody has put away is not shown any more."""
    journal = HeldJournal(path)
    journal.add([held(event_line()), held(event_line())])
    path.unlink()
    journal.refresh()
    assert journal.counts() == (0, 0)

    line = event_line()
    HeldJournal(path).add([held(line)])
    journal.refresh()

    assert lines_in(journal) == [line]


@pytest.mark.parametrize("room_bytes", [0, 1, 100])
def test_record_that_finds_no_room_is_not_kept(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch, room_bytes: int
) -> None:
    """On a full disk `keep` raises, and neither this record nor another suffers."""
    disk = SmallDisk(monkeypatch, tmp_path)
    journal = HeldJournal(path)
    first, refused, last = event_line(), event_line(), event_line()
    journal.add([held(first)])

    disk.room_bytes = room_bytes
    with pytest.raises(OSError, match=r"room|space"):
        journal.add([held(refused)])
    disk.room_bytes = None
    journal.refresh()
    assert lines_in(journal) == [first]
    journal.add([held(last)])

    assert lines_in(read_anew(path)) == [first, last]


def test_full_disk_takes_back_nothing_of_another_writer(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process has kept in between stays, though this one found no room."""
    theirs, ours = event_line(), event_line()
    journal, other = HeldJournal(path), HeldJournal(path)
    write = os.write

    def write_behind_another(fd: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", write)
        other.add([held(theirs)])
        return write(fd, data[:20])

    monkeypatch.setattr(os, "write", write_behind_another)
    with pytest.raises(OSError, match="No space"):
        journal.add([held(ours)])

    assert lines_in(read_anew(path)) == [theirs]


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
def test_damaged_line_is_passed_over(path: Path, damage: bytes) -> None:
    """What nobody of us has written stops no reader and hides no record."""
    first, last = event_line(), event_line()
    HeldJournal(path).add([held(first)])
    with path.open("ab") as file:
        file.write(damage)
    journal = read_anew(path)
    journal.add([held(last)])

    found = lines_in(read_anew(path))

    assert found[0] == first
    assert found[-1] == last


def test_damaged_record_has_an_id_of_its_own(path: Path) -> None:
    """A record without an event id can be kept, and let go, like any other."""
    journal = HeldJournal(path)
    one, two = held(b"not json\n"), held(b"not json either\n")
    journal.add([one, two, one])
    assert lines_in(journal) == [one.record, two.record]

    journal.remove([one.record_id], "dropped")

    assert lines_in(read_anew(path)) == [two.record]


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
def test_journal_is_the_fold_of_what_was_done(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, set[str], bool]],
) -> None:
    """Whoever wrote and whenever one reads, the journal holds what was not released."""
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
            make = held if action == "keep" else waiting
            journal.add([make(event_line(event_id=one)) for one in ordered])
            expected.update(dict.fromkeys(ordered, action == "wait"))

    for journal in (here, there, HeldJournal(path)):
        journal.refresh()
        found = {kept.record_id: kept.is_deferred for kept in journal.entries()}
        assert list(found.items()) == list(expected.items())
        assert sum(journal.counts()) == len(expected)


def test_every_line_of_the_journal_is_json(path: Path) -> None:
    """People can read with their own tools why a record was kept aside."""
    journal = HeldJournal(path)
    line = event_line()
    journal.add([held(line)])
    journal.remove([event_id_of(line)], "dropped")

    kept, released = map(json.loads, path.read_text().splitlines())

    assert kept["problem"] == PROBLEM
    assert kept["record"] == line.decode()
    assert released == {"release": [event_id_of(line)], "as": "dropped"}
