"""Contents of outbox folders, and a folder that cannot be created."""

import json
from pathlib import Path
from typing import Any

from trackerapi.outbox.held import HeldJournal


def below_a_file(folder: Path) -> Path:
    """Return a path below a file: the folder cannot be created."""
    (folder / "file").write_bytes(b"")
    return folder / "file" / "outbox"


def records(outbox: Path) -> list[dict[str, Any]]:
    """Return the parsed records of all files of an outbox, without headers."""
    found: list[dict[str, Any]] = []
    for path in sorted(outbox.glob("*.outbox")):
        found += map(json.loads, path.read_text().splitlines()[1:])
    return found


def folder_content(folder: Path) -> bytes:
    """Return the names and contents of all files below a folder as bytes."""
    paths = sorted(folder.rglob("*"))
    names = "\n".join(str(path.relative_to(folder)) for path in paths).encode()
    return names + b"".join(path.read_bytes() for path in paths if path.is_file())


def recorded_lines(folder: Path) -> list[bytes]:
    """Return the lines of the records in all files of a folder, oldest file first."""
    return [
        line
        for path in sorted(folder.glob("*.outbox"))
        for line in path.read_bytes().splitlines(keepends=True)[1:]
    ]


def read_journal(path: Path) -> HeldJournal:
    """Return the journal as a new process reads it."""
    journal = HeldJournal(path)
    journal.refresh()
    return journal
