"""Outbox files as they are at this moment, whoever owns them; changes nothing."""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

from trackerapi.errors import UsageError
from trackerapi.files import read_regular, reading
from trackerapi.outbox.file import SUFFIX, OutboxFile
from trackerapi.outbox.folder import OutboxFolder
from trackerapi.outbox.header import FORMAT_VERSION, LONGEST_HEADER_BYTES, Header
from trackerapi.outbox.held import JournalEntry
from trackerapi.outbox.records import MAX_BATCH_BYTES, parse_record, split_lines

LIVE: Final = "live"
WAITING: Final = "waiting"
HELD: Final = "held"
DELIVERED: Final = "delivered"
NEWER: Final = "newer"
UNREADABLE: Final = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSummary:
    """One outbox file in numbers.

    Attributes:
        path: Where it lies.
        header: What its first line says; None if that cannot be read.
        state: live (a running process has it), waiting, held or delivered; newer or
            unreadable for what this version cannot tell.
        waiting: Records still to be delivered.
        held: Records that the backend refused.
        delivered: Records that the backend has taken.
        dropped: Records that were damaged.
        size_bytes: Size of its records on disk, with the header.
    """

    path: Path
    header: Header | None
    state: str
    waiting: int = 0
    held: int = 0
    delivered: int = 0
    dropped: int = 0
    size_bytes: int = 0

    @property
    def file_id(self) -> str:
        """By which a command finds it."""
        return file_id(self.path)

    def as_members(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        binding = self.header.binding if self.header else None
        return {
            "id": self.file_id,
            "state": self.state,
            "waiting": self.waiting,
            "held": self.held,
            "delivered": self.delivered,
            "dropped": self.dropped,
            "size_bytes": self.size_bytes,
            "created_at": self.header.created_at if self.header else None,
            "base_url": binding.base_url if binding else None,
            "key_id": binding.key_id if binding else None,
            "provider_id": binding.provider_id if binding else None,
            "path": str(self.path),
        }


def file_id(path: Path) -> str:
    """Return the part of a file's name that no other file has."""
    return path.stem.rpartition("-")[2]


def survey(folder: OutboxFolder, *, delivered: bool = False) -> list[FileSummary]:
    """Look at all files of a folder, oldest first.

    Args:
        folder: Where they lie.
        delivered: Look at those of which all is delivered, instead of the others.
    """
    summaries = (
        summary_of(path, is_put_away=delivered)
        for path in folder.paths(delivered=delivered)
    )
    return [summary for summary in summaries if summary is not None]


def summary_of(path: Path, *, is_put_away: bool = False) -> FileSummary | None:
    """Look at one file; None if it has gone, or was just made and holds nothing."""
    try:
        header, size = _header(path), path.stat().st_size
        file = look(path)
    except FileNotFoundError:
        return None
    except OSError:
        return FileSummary(path=path, header=None, state=UNREADABLE)
    if file is None:
        if size == 0:
            return None
        state = NEWER if header is not None else UNREADABLE
        return FileSummary(path=path, header=header, state=state, size_bytes=size)
    try:
        held, aside = file.held.counts()
        waiting = count_lines(file, file.position, file.end) + aside
        return FileSummary(
            path=path,
            header=file.header,
            state=DELIVERED if is_put_away else _state(path, waiting, held),
            waiting=waiting,
            held=held,
            delivered=file.delivered,
            dropped=file.dropped,
            size_bytes=file.end,
        )
    finally:
        file.close()


def _state(path: Path, waiting: int, held: int) -> str:
    if is_live(path):
        return LIVE
    return WAITING if waiting else HELD if held else DELIVERED


def is_live(path: Path) -> bool:
    """Tell whether a running process has the file, as its owner or to deliver it."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        # Shared and for this moment only, so that no two that look are in their way.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # a file system without locks: nobody can tell
    finally:
        os.close(fd)
    return False


def look(path: Path) -> OutboxFile | None:
    """Open a file to be read only, whoever owns it; the caller closes it.

    What is read from it is one moment of the file: all that was unsettled then lies
    behind its position or in its journal of held records.

    Returns:
        None if it is no outbox file, or one of a newer format.

    Raises:
        OSError: If it cannot be read.
    """
    fd = os.open(path, os.O_RDONLY)
    try:
        line, end, _ = os.pread(fd, LONGEST_HEADER_BYTES, 0).partition(b"\n")
        header = Header.parse(line)
        if header is None or not end or header.version > FORMAT_VERSION:
            os.close(fd)
            return None
        file = OutboxFile(path, fd, header, len(line) + 1)
        # A record goes from the file to the journal, and only then the position moves
        # on: read the other way around, none is missed.
        settled = _read_position(path)
        file.find_end()
        file.held.refresh()
    except BaseException:
        os.close(fd)
        raise
    is_within = file.start <= settled.position <= file.end
    if is_within and os.pread(fd, 1, settled.position - 1) == b"\n":
        file.position = settled.position
        file.delivered, file.dropped = settled.delivered, settled.dropped
    return file


def looks(paths: Iterable[Path]) -> Iterator[OutboxFile]:
    """Look at files one after the other; each is open until the next one is asked for.

    Raises:
        OSError: If one cannot be read.
    """
    for path in paths:
        file = None
        with suppress(FileNotFoundError):  # somebody has delivered it meanwhile
            file = look(path)
        if file is None:
            continue
        try:
            yield file
        finally:
            file.close()


@dataclass(frozen=True, slots=True)
class _Settled:
    position: int = 0
    delivered: int = 0
    dropped: int = 0


def _read_position(path: Path) -> _Settled:
    """Return how far a file is settled, as `OutboxFile` has written it down."""
    try:
        state = parse_record(read_regular(path.with_suffix(".ack")))
        return _Settled(
            int(state["position"]),
            int(state["delivered"]),
            int(state.get("dropped", 0)),
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return _Settled()


def _header(path: Path) -> Header | None:
    with path.open("rb") as file:
        return Header.parse(file.readline(LONGEST_HEADER_BYTES))


def settled_at(path: Path) -> datetime | None:
    """Return when something of a file was settled last; None if nothing ever was."""
    try:
        return datetime.fromtimestamp(path.with_suffix(".ack").stat().st_mtime, UTC)
    except (OSError, OverflowError, ValueError):  # none, or no year of a calendar
        return None


def lines_between(file: OutboxFile, begin: int, end: int) -> Iterator[bytes]:
    """Iterate over the records between two positions, each with its end."""
    while begin < end and (chunk := file.read(begin, MAX_BATCH_BYTES)):
        begin += len(chunk)
        yield from split_lines(chunk)


def record_id(line: bytes) -> str:
    """Return the id by which repeats of a record are known."""
    return JournalEntry(record=line, problem={}).record_id


def job_of(line: bytes) -> str:
    """Return the provider's id of the job that a record is about."""
    members = parse_record(line)
    document = members.get("create_job")
    if isinstance(document, dict):
        members = cast("dict[str, Any]", document)
    return str(members.get("provider_job_id", ""))


def count_lines(file: OutboxFile, begin: int, end: int) -> int:
    """Return how many records lie between two positions."""
    count = 0
    while begin < end and (chunk := file.read(begin, MAX_BATCH_BYTES)):
        begin += len(chunk)
        count += chunk.count(b"\n")
    return count


def why_set_aside(path: Path) -> tuple[set[str], JournalEntry | None]:
    """Return why records of a file wait beside it.

    Returns:
        The jobs that the backend does not know, and the first record that it does not
        take while it takes others.
    """
    with suppress(OSError):
        for file in looks([path]):
            return file.held.unknown_jobs(), file.held.first_failing()
    return set(), None


def dropped_ids(file: OutboxFile) -> set[str]:
    """Return the ids of held records that an operator has dropped."""
    dropped: set[str] = set()
    with suppress(FileNotFoundError), reading(file.held.path) as journal:
        for line in journal:
            members = parse_record(line)
            if members.get("as") == "dropped":
                dropped.update(map(str, members.get("release", ())))
    return dropped


def find_file(folder: OutboxFolder, wanted: str) -> Path:
    """Return the file that an id, a name or the beginning of one of them means.

    Raises:
        UsageError: If it means none or several.
    """
    name = wanted.removesuffix(SUFFIX)
    paths = [*folder.paths(), *folder.paths(delivered=True)]

    def found(matches: Callable[[str], bool]) -> list[Path]:
        return [path for path in paths if matches(file_id(path)) or matches(path.stem)]

    matching = found(name.__eq__) or found(lambda each: each.startswith(name))
    if not name or not matching:
        raise UsageError(f"no outbox file in {folder.path} has the id {wanted!r}")
    if len(matching) > 1:
        ids = ", ".join(map(file_id, matching[:3]))
        raise UsageError(f"{wanted!r} means {len(matching)} outbox files: {ids}...")
    return matching[0]
