"""Journals of held records that several processes write."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.outbox_folders import read_journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a journal that does not exist yet."""
    return tmp_path / "1-a.held"


WRITER: Final = """
import json, sys
from pathlib import Path
from trackerapi.outbox.held import HeldJournal, JournalEntry

journal = HeldJournal(Path(sys.argv[1]))
for number in range(40):
    event_id = f"{sys.argv[2]}-{number}"
    record = json.dumps({"event_id": event_id, "provider_job_id": sys.argv[2]})
    line = record.encode() + b"\\n"
    journal.add([JournalEntry(record=line, problem={}, is_deferred=True)])
    if number % 2:
        journal.remove([event_id], "delivered")
journal.refresh()
mine = [k.record_id for k in journal.entries(provider_job_id=sys.argv[2])]
assert len(mine) == 20, mine
"""


def test_processes_that_write_at_once_lose_nothing_of_each_other(path: Path) -> None:
    """Three processes that write one journal at the same time lose no record."""
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name])
        for name in ("first", "second", "third")
    ]

    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    journal = read_journal(path)
    assert journal.counts() == (0, 60)
    for name in ("first", "second", "third"):
        kept = journal.entries(provider_job_id=name)
        expected = [f"{name}-{number}" for number in range(0, 40, 2)]
        assert [one.record_id for one in kept] == expected
