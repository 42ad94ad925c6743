"""Rewriting of leftover files: removal of selected records, change of address."""

import os
from pathlib import Path
from typing import Final

import pytest

from tests.support.lines import creation_line, event_id_of, event_line
from tests.support.memory_backend import problem
from tests.support.reporting_process import BINDING
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.folder import OutboxFolder
from trackerapi.outbox.header import Binding
from trackerapi.outbox.held import JournalEntry
from trackerapi.outbox.rewriting import (
    Selection,
    rebind,
    remove_held_records,
    remove_records,
)
from trackerapi.outbox.survey import DELIVERED, HELD, UNDELIVERED, views

A_MOMENT: Final = 1_700_000_000.0
ELSEWHERE: Final = Binding(base_url="http://other.test", key_id="4lUNe0bA")


def records_of(path: Path) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Return the settled records, the undelivered records and those of the journal."""
    for file in views([path]):
        entries = [entry.record for entry in file.held.entries()]
        return list(file.settled_lines()), list(file.undelivered_lines()), entries
    return [], [], []


def text_of(folder: Path) -> bytes:
    """Return the content of all files of a folder."""
    return b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())


class Leftover:
    """A leftover file with records of two jobs in each state.

    Attributes:
        path: Path of the file.
        mine: Records of the job `mine`: delivered, held, deferred and undelivered.
        other: Records of the job `other` in the same four states.
    """

    def __init__(self, folder: Path) -> None:
        self.mine = [event_line(job="mine") for _ in range(4)]
        self.other = [event_line(job="other") for _ in range(4)]
        file = OutboxFile.create(folder, BINDING)
        pairs = list(zip(self.mine, self.other, strict=True))
        for pair in pairs:
            for line in pair:
                file.append(line)
        settled = [line for pair in pairs[:3] for line in pair]
        file.held.add([JournalEntry(record=x, problem=problem(422)) for x in pairs[1]])
        file.held.add(
            [
                JournalEntry(record=x, problem=problem(404), is_deferred=True)
                for x in pairs[2]
            ]
        )
        file.settle(sum(map(len, settled)), len(settled), delivered=2)
        file.close()
        self.path = file.path


@pytest.mark.parametrize(
    ("states", "gone"),
    [((HELD,), [1]), ((UNDELIVERED,), [2, 3]), ((HELD, UNDELIVERED), [1, 2, 3])],
)
def test_selected_records_of_a_job_are_gone_and_others_stay_in_order(
    folder: Path, states: tuple[str, ...], gone: list[int]
) -> None:
    """Removed records are in no file; records of other jobs keep their state."""
    leftover = Leftover(folder)
    selection = Selection(states=states, provider_job_id="mine")

    assert remove_records(OutboxFolder(folder), leftover.path, selection) == len(gone)

    (path,) = folder.glob("*.outbox")
    settled, undelivered, journal = records_of(path)
    assert set(leftover.other[:3]) <= set(settled)
    assert leftover.other[3] in undelivered
    assert set(leftover.other[1:3]) <= set(journal)
    for number, line in enumerate(leftover.mine):
        assert (event_id_of(line).encode() in text_of(folder)) is (number not in gone)


def test_file_of_which_nothing_is_selected_is_not_rewritten(folder: Path) -> None:
    """If no record matches the selection, the file stays and can be claimed."""
    leftover = Leftover(folder)
    selection = Selection(states=(HELD, UNDELIVERED), provider_job_id="third")

    assert remove_records(OutboxFolder(folder), leftover.path, selection) == 0
    assert list(folder.glob("*.outbox")) == [leftover.path]
    claimed = OutboxFile.claim(leftover.path)
    assert claimed is not None
    claimed.close()


def test_file_of_a_running_process_loses_held_records_alone(folder: Path) -> None:
    """Only held records of a file that another process has claimed are removed."""
    leftover = Leftover(folder)
    owner = OutboxFile.claim(leftover.path)
    assert owner is not None
    selection = Selection(states=(HELD, UNDELIVERED), provider_job_id="mine")

    assert remove_records(OutboxFolder(folder), leftover.path, selection) is None
    assert remove_held_records(leftover.path, selection) == 1

    owner.held.refresh()
    assert leftover.mine[1] not in [entry.record for entry in owner.held.entries()]
    assert owner.held.dropped_ids() == {event_id_of(leftover.mine[1])}
    owner.close()


def test_missing_file_has_nothing_to_remove(folder: Path) -> None:
    """For a file that no longer exists, nothing is removed and nothing raised."""
    outbox, path = OutboxFolder(folder), folder / "1-gone.outbox"
    selection = Selection(states=(HELD,))

    assert remove_records(outbox, path, selection) is None
    assert remove_held_records(path, selection) == 0
    assert rebind(outbox, path, ELSEWHERE) is None


def test_archived_file_keeps_its_age_and_counts(folder: Path) -> None:
    """A rewritten archived file keeps its modification time and adapts its count."""
    outbox = OutboxFolder(folder)
    file = OutboxFile.create(folder, BINDING)
    lines = [creation_line("mine"), event_line(job="mine"), event_line(job="other")]
    for line in lines:
        file.append(line)
    file.settle(sum(map(len, lines)), 3, delivered=2)
    outbox.release(file)
    (path,) = outbox.paths(delivered=True)
    os.utime(path, (A_MOMENT, A_MOMENT))

    selection = Selection(states=(DELIVERED,), provider_job_id="mine")
    assert remove_records(outbox, path, selection) == 2

    (path,) = outbox.paths(delivered=True)
    assert path.stat().st_mtime == A_MOMENT
    assert records_of(path) == ([lines[2]], [], [])
    assert [file.delivered for file in views([path])] == [1]


def test_rebound_file_has_the_same_records_and_place_in_the_order(folder: Path) -> None:
    """`rebind()` changes address and key; records and time in the name stay."""
    leftover = Leftover(folder)
    before = records_of(leftover.path)

    path = rebind(OutboxFolder(folder), leftover.path, ELSEWHERE)

    assert path is not None
    assert list(folder.glob("*.outbox")) == [path]
    assert path.name.partition("-")[0] == leftover.path.name.partition("-")[0]
    assert records_of(path) == before
    assert [file.header.binding for file in views([path])] == [ELSEWHERE]


def test_failed_rewriting_leaves_the_old_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If rewriting fails, the old file is unchanged, and no new file remains."""
    leftover = Leftover(folder)
    before = text_of(folder)

    def refuse(file: OutboxFile, line: bytes) -> None:
        raise OSError("no room")

    monkeypatch.setattr(OutboxFile, "append", refuse)
    with pytest.raises(OSError, match="no room"):
        rebind(OutboxFolder(folder), leftover.path, ELSEWHERE)

    assert text_of(folder) == before
    claimed = OutboxFile.claim(leftover.path)
    assert claimed is not None
    claimed.close()
