"""Journal of held and deferred records, in a file beside the outbox file.

A record is *held* if the backend rejected the record: it stays in the journal until
somebody fixes the cause. A record is *deferred*, to be sent again later, if the backend
does not know its job yet, or fails at this record while it accepts other records. The
journal file is made when the first record is held or deferred.

Each change is one line, appended with one write: several processes may change the
journal of one file without a lock.
"""

import json
import os
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self, cast

from trackerapi.errors import one_line
from trackerapi.files import check_regular, open_for_reading
from trackerapi.outbox.disk import append_lines, open_file
from trackerapi.outbox.names import journal_path
from trackerapi.outbox.records import (
    Creation,
    creation_id,
    identity,
    members_in,
    parse_creation,
    parse_record,
)
from trackerapi.process.clock import utc_now
from trackerapi.times import as_rfc3339

HOLD_AFTER: Final = timedelta(days=7)
"""Maximum time for which an event of an unknown job is deferred; then it is held."""

MANY_FAILING: Final = 3
"""Number of deferred records of a job from which its later events are not sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """Held or deferred record with the reason.

    Attributes:
        record: Line of the outbox file, with its end.
        problem: Members of the problem details (RFC 9457) with the reason.
        is_deferred: Whether the record is deferred; otherwise the record is held.
        is_failing: Whether the record is deferred because the backend fails at this
            record or at earlier records of its job. A deferred record that is not
            failing belongs to a job that the backend does not know.
        since: Time at which the record was first added to the journal; RFC 3339. Empty
            for a record that `HeldJournal.add()` adds now.
    """

    record: bytes
    problem: Mapping[str, Any]
    is_deferred: bool = False
    is_failing: bool = False
    since: str = ""

    @property
    def record_id(self) -> str:
        """Id of the record; see `records.record_id()`."""
        return identity(self.record)[0]

    @property
    def provider_job_id(self) -> str:
        """The provider's id of the job of the record."""
        return identity(self.record)[1]

    @property
    def is_overdue(self) -> bool:
        """Whether the record was added to the journal more than `HOLD_AFTER` ago."""
        try:
            since = datetime.fromisoformat(self.since)
        except ValueError:
            return False
        return utc_now() - since > HOLD_AFTER

    def held_for(self, problem: Mapping[str, Any]) -> "JournalEntry":
        """Return a held entry of this record for `problem`, with the same `since`."""
        return JournalEntry(record=self.record, problem=problem, since=self.since)

    @property
    def creation(self) -> Creation | None:
        """Creation in the record; None for an event."""
        return parse_creation(self.record)

    @property
    def reason(self) -> str:
        """Reason in one sentence."""
        words = self.problem.get("detail") or self.problem.get("title") or "refused"
        return one_line(str(words))


@dataclass(slots=True)
class _Location:
    """Location of an entry in the journal file, and the values that filters read."""

    offset: int
    length: int
    provider_job_id: str
    is_deferred: bool
    is_failing: bool
    is_creation: bool


class HeldJournal:
    """Held and deferred records of one outbox file.

    Methods return the state of the last `refresh()`, or of the last change by this
    object.

    Args:
        path: Path of the journal; the file need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._locations: dict[str, _Location] = {}
        self._read_bytes = 0
        # A thread in `Delivery.report()` reads while the delivery thread appends.
        self._lock = threading.RLock()

    @classmethod
    def beside(cls, path: Path) -> Self:
        """Return the journal of an outbox file."""
        return cls(journal_path(path))

    def check(self) -> None:
        """Check that an existing journal can be read and written; read the journal.

        Raises:
            OSError: If the journal cannot be read or written, for example because the
                journal belongs to another user.
        """
        with suppress(FileNotFoundError):
            os.close(open_file(self.path, os.O_RDWR | os.O_APPEND))
        self.refresh()

    def refresh(self) -> None:
        """Read the lines that any process has appended since the last call.

        Raises:
            OSError: If the journal cannot be read.
        """
        try:
            status = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            status = None
        except OSError:
            # Keep the known entries: `OutboxFolder.release()` deletes an empty journal.
            return
        if status is not None:
            check_regular(status, self.path)
        size = 0 if status is None else status.st_size
        if size == self._read_bytes:
            return
        with self._lock, suppress(FileNotFoundError):
            self._read_from(size)

    def _read_from(self, size: int) -> None:
        if size < self._read_bytes:  # another process has deleted the journal
            self._locations.clear()
            self._read_bytes = 0
        if size == 0:
            return
        with open_for_reading(self.path) as file:
            file.seek(self._read_bytes)
            for line in file:
                if not line.endswith(b"\n"):  # torn, or another process is writing
                    return
                self._apply_line(line)
                self._read_bytes += len(line)

    def add(self, entries: Collection[JournalEntry]) -> None:
        """Add entries; an entry replaces an earlier entry of the same record.

        Raises:
            OSError: If the journal cannot be written; then no entry is added.
        """
        if not entries:
            return
        now = as_rfc3339(utc_now().replace(microsecond=0))
        lines: list[Mapping[str, Any]] = []
        for entry in entries:
            record_id, job_id = identity(entry.record)
            lines.append(
                {
                    "keep": record_id,
                    "job": job_id,
                    "waits": entry.is_deferred,
                    "failing": entry.is_failing,
                    "since": entry.since or now,
                    "problem": dict(entry.problem),
                    "record": entry.record.decode("utf-8", "surrogateescape"),
                }
            )
        self._append(lines)

    def remove(self, record_ids: Collection[str], outcome: str) -> None:
        """Remove records; ids that the journal lacks are ignored.

        Args:
            record_ids: Ids of the records.
            outcome: Reason of the removal: delivered or dropped.

        Raises:
            OSError: If the journal cannot be written.
        """
        if record_ids:
            self._append([{"release": list(record_ids), "as": outcome}])

    def remove_creation(self, provider_job_id: str) -> None:
        """Remove the creation of a job, after the backend has accepted the creation.

        Raises:
            OSError: If the journal cannot be written.
        """
        record_id = creation_id(provider_job_id)
        if record_id in self._locations:
            self.remove([record_id], "delivered")

    def move_to(self, other: "HeldJournal") -> None:
        """Rename the journal file to the path of `other`, if the file exists.

        Raises:
            OSError: If the file cannot be renamed.
        """
        with suppress(FileNotFoundError):
            self.path.rename(other.path)
            other.refresh()

    def entries(
        self, *, is_deferred: bool | None = None, provider_job_id: str | None = None
    ) -> Iterator[JournalEntry]:
        """Iterate over the entries, in the order of their first addition.

        Args:
            is_deferred: True for deferred entries only, False for held entries only;
                None for all entries.
            provider_job_id: Job of the records; None for all jobs.

        Raises:
            OSError: If the journal cannot be read.
        """
        for found in list(self._locations.values()):
            if is_deferred is not None and found.is_deferred != is_deferred:
                continue
            if provider_job_id is not None and found.provider_job_id != provider_job_id:
                continue
            with open_for_reading(self.path) as file:
                file.seek(found.offset)
                members = parse_record(file.read(found.length))
            record = str(members.get("record", ""))
            yield JournalEntry(
                record=record.encode("utf-8", "surrogateescape"),
                problem=members_in(members.get("problem")),
                is_deferred=found.is_deferred,
                is_failing=found.is_failing,
                since=str(members.get("since", "")),
            )

    def counts(self) -> tuple[int, int]:
        """Return the number of held records, and the number of deferred records."""
        found = list(self._locations.values())
        deferred = sum(each.is_deferred for each in found)
        return len(found) - deferred, deferred

    def rejected_jobs(self) -> set[str]:
        """Return the ids of jobs with a rejected creation: their events are held."""
        return {
            found.provider_job_id
            for found in list(self._locations.values())
            if found.is_creation and not found.is_deferred
        }

    def deferred_jobs(self) -> set[str]:
        """Return the ids of jobs with deferred records."""
        return {found.provider_job_id for found in self._deferred()}

    def unknown_jobs(self) -> set[str]:
        """Return the ids of jobs that the backend did not know at the last request."""
        return {
            found.provider_job_id for found in self._deferred() if not found.is_failing
        }

    def first_failing(self) -> JournalEntry | None:
        """Return the entry of the first failing record; None without such a record.

        Raises:
            OSError: If the journal cannot be read.
        """
        deferred = self.entries(is_deferred=True)
        return next((entry for entry in deferred if entry.is_failing), None)

    def blocked_jobs(self) -> set[str]:
        """Return the ids of blocked jobs: delivery defers their new records unsent.

        A job is blocked if the backend does not know it, if its creation fails, or if
        `MANY_FAILING` of its records are deferred: finding out for each later event
        whether the backend fails at it would take too many requests.
        """
        deferred = self._deferred()
        counts = Counter(found.provider_job_id for found in deferred)
        return {
            found.provider_job_id
            for found in deferred
            if not found.is_failing
            or found.is_creation
            or counts[found.provider_job_id] >= MANY_FAILING
        }

    def dropped_ids(self) -> set[str]:
        """Return the ids of records that an operator has dropped from the journal.

        Raises:
            OSError: If the journal cannot be read.
        """
        dropped: set[str] = set()
        with suppress(FileNotFoundError), open_for_reading(self.path) as file:
            for members in map(parse_record, file):
                if members.get("as") == "dropped":
                    dropped.update(_removed_ids(members))
        return dropped

    def _deferred(self) -> list[_Location]:
        return [each for each in list(self._locations.values()) if each.is_deferred]

    def _apply_line(self, line: bytes) -> None:
        members = parse_record(line)
        for record_id in _removed_ids(members):
            self._locations.pop(record_id, None)
        if "keep" in members:
            record_id = str(members["keep"])
            job_id = str(members.get("job", ""))
            # An existing key keeps its position in the order of the dict.
            self._locations[record_id] = _Location(
                offset=self._read_bytes,
                length=len(line),
                provider_job_id=job_id,
                is_deferred=bool(members.get("waits")),
                is_failing=bool(members.get("failing")),
                is_creation=record_id == creation_id(job_id),
            )

    def _append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        append_lines(self.path, text.encode("ascii"))
        self.refresh()


def _removed_ids(members: Mapping[str, Any]) -> list[str]:
    """Return the ids of the records that a line of the journal removes."""
    removed = members.get("release")
    if not isinstance(removed, list):
        return []
    return [str(each) for each in cast("list[object]", removed)]
