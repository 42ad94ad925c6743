"""Independent reader of outbox folders: knows the file format, imports no library code.

During a run, the reader returns the records that a new process would find.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

MARK: Final = "trackerapi_outbox"


@dataclass(slots=True)
class DiskView:
    """Records in a folder.

    Attributes:
        waiting: Lines behind the acknowledged position of their file.
        deferred: Deferred lines: the backend does not know their job yet.
        held: Held lines: the backend has rejected them.
        misaligned: Acknowledged positions that are not at a line start, by file name.
    """

    waiting: list[bytes] = field(default_factory=list)
    deferred: list[bytes] = field(default_factory=list)
    held: list[bytes] = field(default_factory=list)
    misaligned: dict[str, int] = field(default_factory=dict)


def view_of(folder: Path) -> DiskView:
    """Read all files of a folder."""
    view = DiskView()
    for path in sorted(folder.glob("*.outbox")):
        content = path.read_bytes()
        header, end, _ = content.partition(b"\n")
        if not end or MARK not in _members(header):
            continue
        view.waiting += _unsettled(path, content, view)
    for path in sorted(folder.glob("*.held")):
        for line, waits in _fold(path).values():
            (view.deferred if waits else view.held).append(line)
    return view


def whole_lines(content: bytes) -> list[bytes]:
    """Return the complete records of a file; a torn last line is ignored."""
    header, end, rest = content.partition(b"\n")
    if not end or MARK not in _members(header):
        return []
    return [line + b"\n" for line in rest.split(b"\n")[:-1]]


def is_line_start(content: bytes, position: int) -> bool:
    """Return whether `position` is the start of a record or the end of the last one."""
    start = content.find(b"\n") + 1
    return start <= position <= len(content) and content[position - 1 : position] == (
        b"\n"
    )


def _unsettled(path: Path, content: bytes, view: DiskView) -> list[bytes]:
    position = content.index(b"\n") + 1
    ack = path.with_suffix(".ack")
    if ack.exists():
        acknowledged = _members(ack.read_bytes()).get("position")
        if isinstance(acknowledged, int):
            if is_line_start(content, acknowledged):
                position = acknowledged
            else:
                view.misaligned[path.name] = acknowledged
    return [line + b"\n" for line in content[position:].split(b"\n")[:-1]]


def _fold(path: Path) -> dict[str, tuple[bytes, bool]]:
    kept: dict[str, tuple[bytes, bool]] = {}
    for line in path.read_bytes().split(b"\n")[:-1]:
        members = _members(line)
        for record_id in members.get("release", []):
            kept.pop(record_id, None)
        if "keep" in members:
            record = str(members["record"]).encode()
            kept[members["keep"]] = record, bool(members["waits"])
    return kept


def _members(line: bytes) -> dict[str, Any]:
    try:
        members = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return members if isinstance(members, dict) else {}
