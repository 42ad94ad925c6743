"""States and counts of the outbox files of all processes in a folder.

Nothing here changes a file or keeps a lock.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trackerapi.errors import UsageError
from trackerapi.files import open_for_reading
from trackerapi.outbox.disk import is_locked
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.folder import OutboxFolder
from trackerapi.outbox.header import Header, header_of
from trackerapi.outbox.held import JournalEntry
from trackerapi.outbox.names import RECORDS_SUFFIX, file_id, journal_path

LIVE: Final = "live"
UNDELIVERED: Final = "waiting"
HELD: Final = "held"
DELIVERED: Final = "delivered"
NEWER: Final = "newer"
UNREADABLE: Final = "unreadable"

_MAX_NAMES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSummary:
    """Counts and state of one outbox file.

    Attributes:
        path: Path of the file.
        header: First line of the file; None if it cannot be read.
        state: `LIVE` (of a running process), `UNDELIVERED`, `HELD`, `DELIVERED`,
            `NEWER` (of a newer format) or `UNREADABLE`.
        undelivered: Number of undelivered records, including deferred records, which
            delivery sends again later.
        held: Number of held records.
        delivered: Number of records that the backend accepted.
        dropped: Number of damaged records, which are lost.
        size_bytes: Size of the file.
    """

    path: Path
    header: Header | None
    state: str
    undelivered: int = 0
    held: int = 0
    delivered: int = 0
    dropped: int = 0
    size_bytes: int = 0

    @property
    def file_id(self) -> str:
        """Id of the file, as the `trackerapi outbox` commands accept it."""
        return file_id(self.path)

    @property
    def remaining(self) -> int:
        """Number of undelivered and held records."""
        return self.undelivered + self.held

    def as_members(self) -> dict[str, Any]:
        """Return the members of the file in the JSON output of the commands."""
        binding = self.header.binding if self.header else None
        return {
            "id": self.file_id,
            "state": self.state,
            "waiting": self.undelivered,
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


def survey(folder: OutboxFolder, *, delivered: bool = False) -> list[FileSummary]:
    """Return a summary of each file of a folder, oldest first.

    Args:
        folder: Outbox folder.
        delivered: Whether to return the archived files instead of the files that are
            not archived.
    """
    paths = folder.paths(delivered=delivered)
    summaries = (summary_of(path, is_archived=delivered) for path in paths)
    return [summary for summary in summaries if summary is not None]


def summary_of(path: Path, *, is_archived: bool = False) -> FileSummary | None:
    """Return a summary of one file.

    Return None if the file is gone, or if its process has not written the header yet.
    """
    try:
        size = path.stat().st_size
        file = OutboxFile.view(path)
    except FileNotFoundError:
        return None
    except OSError:
        return FileSummary(path=path, header=None, state=UNREADABLE)
    if file is None:
        if size == 0:
            return None
        header = header_of(path)
        state = NEWER if header is not None else UNREADABLE
        return FileSummary(path=path, header=header, state=state, size_bytes=size)
    try:
        held, deferred = file.held.counts()
        undelivered = file.count_undelivered_lines() + deferred
        return FileSummary(
            path=path,
            header=file.header,
            state=DELIVERED if is_archived else _state(path, undelivered, held),
            undelivered=undelivered,
            held=held,
            delivered=file.delivered,
            dropped=file.dropped,
            size_bytes=file.end,
        )
    finally:
        file.close()


def _state(path: Path, undelivered: int, held: int) -> str:
    if is_locked(path):
        return LIVE
    return UNDELIVERED if undelivered else HELD if held else DELIVERED


def views(paths: Iterable[Path]) -> Iterator[OutboxFile]:
    """Yield the files, open for reading; close each file before opening the next file.

    Files of an unknown format are skipped, and so are files that another process has
    archived since `paths` was listed.

    Raises:
        OSError: If a file cannot be read.
    """
    for path in paths:
        file = None
        with suppress(FileNotFoundError):
            file = OutboxFile.view(path)
        if file is None:
            continue
        try:
            yield file
        finally:
            file.close()


def why_deferred(path: Path) -> tuple[set[str], JournalEntry | None]:
    """Return why records of a file are deferred.

    Returns:
        The two reasons: the ids of jobs that the backend does not know, and the journal
        entry of the first record at which the backend fails; None without such a
        record.
    """
    with suppress(OSError):
        for file in views([path]):
            return file.held.unknown_jobs(), file.held.first_failing()
    return set(), None


def why_unreadable(path: Path) -> OSError | None:
    """Return the error of reading a file or its journal; None if both can be read."""
    for each in (path, journal_path(path)):
        try:
            with suppress(FileNotFoundError), open_for_reading(each) as file:
                file.read(1)
        except OSError as error:
            return error
    return None


def find_file(folder: OutboxFolder, wanted: str) -> Path:
    """Return the path of the file whose id or name is `wanted`, or begins with it.

    Raises:
        UsageError: If no file or several files match.
    """
    name = wanted.removesuffix(RECORDS_SUFFIX)
    paths = folder.all_paths()

    def found(matches: Callable[[str], bool]) -> list[Path]:
        return [path for path in paths if matches(file_id(path)) or matches(path.stem)]

    matching = found(name.__eq__) or found(lambda each: each.startswith(name))
    if not name or not matching:
        raise UsageError(f"no outbox file in {folder.path} has the id {wanted!r}")
    if len(matching) > 1:
        ids = ", ".join(map(file_id, matching[:_MAX_NAMES]))
        more = ", ..." if len(matching) > _MAX_NAMES else ""
        raise UsageError(
            f"{wanted!r} matches {len(matching)} outbox files: {ids}{more}"
        )
    return matching[0]
