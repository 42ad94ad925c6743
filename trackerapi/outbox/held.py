"""Journal of records kept aside, with the reason: beside each outbox file, as needed.

A record is *held* when the backend refused it for good. A record *waits* here when the
backend does not know its job yet, or takes other records but not this one. Each change
is one line appended with one write, so that several processes may keep and release
records of one file.
"""

import errno
import json
import os
import threading
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

from trackerapi.errors import one_line
from trackerapi.files import check_regular, reading
from trackerapi.outbox.disk import open_file
from trackerapi.outbox.records import Creation, parse_creation, parse_record
from trackerapi.process.clock import utc_now

HOLD_AFTER: Final = timedelta(days=7)
"""How long an event waits for a job that the backend does not know."""

MANY_FAILING: Final = 3
"""Failing events of a job behind which its later events wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """A record that was kept aside.

    Attributes:
        record: The line as it stood in the outbox, with its end.
        problem: Members of the problem details (RFC 9457) that say why.
        is_deferred: Whether it is tried again without being asked to.
        is_failing: Whether it waits because the backend takes other records, but not
            this one; else it waits because the backend does not know its job.
        since: When it was first kept aside; RFC 3339.
    """

    record: bytes
    problem: Mapping[str, Any]
    is_deferred: bool = False
    is_failing: bool = False
    since: str = ""

    @property
    def record_id(self) -> str:
        """By which repeats of the record are known."""
        return _identity(self.record)[0]

    @property
    def provider_job_id(self) -> str:
        """The job that the record is about."""
        return _identity(self.record)[1]

    @property
    def is_overdue(self) -> bool:
        """Whether it was kept aside longer ago than `HOLD_AFTER`."""
        try:
            since = datetime.fromisoformat(self.since)
        except ValueError:
            return False
        return utc_now() - since > HOLD_AFTER

    def held_for(self, problem: Mapping[str, Any]) -> "JournalEntry":
        """Return it as held for a problem, as old as it was."""
        return JournalEntry(record=self.record, problem=problem, since=self.since)

    @property
    def creation(self) -> Creation | None:
        """The creation that the record is; None for an event."""
        return parse_creation(self.record)

    @property
    def reason(self) -> str:
        """Why it was kept aside, in one sentence."""
        words = self.problem.get("detail") or self.problem.get("title") or "refused"
        return one_line(str(words))


@dataclass(slots=True)
class _Place:
    """Where in the journal a kept record stands."""

    offset: int
    length: int
    provider_job_id: str
    is_deferred: bool
    is_failing: bool
    is_creation: bool


class HeldJournal:
    """What was kept aside of one outbox file; nothing is on disk until it is needed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, _Place] = {}
        self._read_bytes = 0
        self._lock = threading.RLock()

    def check(self) -> None:
        """Make sure that the journal can be read and written, if there is one.

        Raises:
            OSError: If not, as where it belongs to another user.
        """
        with suppress(FileNotFoundError):
            os.close(open_file(self.path, os.O_RDWR | os.O_APPEND))
        self.refresh()

    def refresh(self) -> None:
        """Read what this or another process has added.

        Raises:
            OSError: If the journal cannot be read.
        """
        try:
            status = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            status = None
        except OSError:
            # An empty journal would be deleted: one that nobody can look at is not.
            return
        if status is not None:
            check_regular(status, self.path)
        size = 0 if status is None else status.st_size
        if size == self._read_bytes:
            return
        with self._lock, suppress(FileNotFoundError):
            self._read_from(size)

    def _read_from(self, size: int) -> None:
        if size < self._read_bytes:  # somebody has made it anew
            self._places.clear()
            self._read_bytes = 0
        if size == 0:
            return
        with reading(self.path) as file:
            file.seek(self._read_bytes)
            for line in file:
                if not line.endswith(b"\n"):  # torn, or still being written
                    return
                self._take(line)
                self._read_bytes += len(line)

    def add(self, records: Collection[JournalEntry]) -> None:
        """Add records.

        Raises:
            OSError: If they cannot be written down; then none is kept.
        """
        if not records:
            return
        now = utc_now().isoformat(timespec="seconds").replace("+00:00", "Z")
        lines: list[Mapping[str, Any]] = []
        for kept in records:
            record_id, job_id = _identity(kept.record)
            lines.append(
                {
                    "keep": record_id,
                    "job": job_id,
                    "waits": kept.is_deferred,
                    "failing": kept.is_failing,
                    "since": kept.since or now,
                    "problem": dict(kept.problem),
                    "record": kept.record.decode("utf-8", "surrogateescape"),
                }
            )
        self._append(lines)

    def remove(self, record_ids: Collection[str], outcome: str) -> None:
        """Let records go that were delivered or dropped.

        Raises:
            OSError: If that cannot be written down.
        """
        if record_ids:
            self._append([{"release": list(record_ids), "as": outcome}])

    def remove_creation(self, provider_job_id: str) -> None:
        """Let the creation of a job go that the backend has taken by now.

        Raises:
            OSError: If that cannot be written down.
        """
        record_id = _CREATION + provider_job_id
        if record_id in self._places:
            self.remove([record_id], "delivered")

    def entries(
        self, *, is_deferred: bool | None = None, provider_job_id: str | None = None
    ) -> Iterator[JournalEntry]:
        """Iterate over what is kept, in the order in which it was recorded.

        Args:
            is_deferred: Only what waits, or only what is held; None for both.
            provider_job_id: Only records of this job; None for all.
        """
        for place in list(self._places.values()):
            if is_deferred is not None and place.is_deferred != is_deferred:
                continue
            if provider_job_id is not None and place.provider_job_id != provider_job_id:
                continue
            with reading(self.path) as file:
                file.seek(place.offset)
                members = parse_record(file.read(place.length))
            yield JournalEntry(
                record=str(members.get("record", "")).encode(
                    "utf-8", "surrogateescape"
                ),
                problem=_members(members.get("problem")),
                is_deferred=place.is_deferred,
                is_failing=place.is_failing,
                since=str(members.get("since", "")),
            )

    def counts(self) -> tuple[int, int]:
        """Return how many records are held and how many wait."""
        places = list(self._places.values())
        waiting = sum(place.is_deferred for place in places)
        return len(places) - waiting, waiting

    def rejected_jobs(self) -> set[str]:
        """Return the jobs whose creation was refused: their events are held too."""
        return {
            place.provider_job_id
            for place in list(self._places.values())
            if place.is_creation and not place.is_deferred
        }

    def deferred_jobs(self) -> set[str]:
        """Return the jobs of which records wait."""
        return {place.provider_job_id for place in self._waiting()}

    def unknown_jobs(self) -> set[str]:
        """Return the jobs of waiting records that the backend does not know."""
        return {p.provider_job_id for p in self._waiting() if not p.is_failing}

    def first_failing(self) -> JournalEntry | None:
        """Return the first record that the backend does not take; None without one.

        Raises:
            OSError: If the journal cannot be read.
        """
        waiting = self.entries(is_deferred=True)
        return next((kept for kept in waiting if kept.is_failing), None)

    def blocked_jobs(self) -> set[str]:
        """Return the jobs of which later records have to wait behind earlier ones.

        These are unknown jobs, also by a creation that fails, and jobs of which so many
        events fail that trying each later one would take too many requests.
        """
        waiting = self._waiting()
        counts = Counter(place.provider_job_id for place in waiting)
        return {
            place.provider_job_id
            for place in waiting
            if not place.is_failing
            or place.is_creation
            or counts[place.provider_job_id] >= MANY_FAILING
        }

    def _waiting(self) -> list[_Place]:
        return [place for place in list(self._places.values()) if place.is_deferred]

    def _take(self, line: bytes) -> None:
        members = parse_record(line)
        released: Any = members.get("release")
        if isinstance(released, list):
            for record_id in cast("list[object]", released):
                self._places.pop(str(record_id), None)
        if "keep" in members:
            record_id = str(members["keep"])
            place = _Place(
                self._read_bytes,
                len(line),
                str(members.get("job", "")),
                bool(members.get("waits")),
                bool(members.get("failing")),
                record_id.startswith(_CREATION),
            )
            # What is kept again stays where it was in the order.
            self._places[record_id] = place

    def _append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        flags = os.O_CREAT | os.O_RDWR | os.O_APPEND
        fd = open_file(self.path, flags)
        try:
            size = os.fstat(fd).st_size
            # A writer that was killed may have left half a line.
            if size and os.pread(fd, 1, size - 1) != b"\n":
                text = "\n" + text
            data = text.encode("ascii")
            if os.write(fd, data) != len(data):
                # Not cut off: others may have written behind it. It reads as nothing.
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        finally:
            os.close(fd)
        self.refresh()


_CREATION: Final = "create_job "


def _members(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _identity(record: bytes) -> tuple[str, str]:
    """Return the id of a record and that of its job."""
    creation = parse_creation(record)
    if creation is not None:
        return _CREATION + creation.provider_job_id, creation.provider_job_id
    members = parse_record(record)
    job_id = str(members.get("provider_job_id", ""))
    event_id = members.get("event_id")
    if not isinstance(event_id, str):  # damaged
        event_id = f"damaged {zlib.crc32(record):08x}"
    return event_id, job_id
