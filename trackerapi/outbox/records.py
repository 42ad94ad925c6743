"""Records of an outbox file: each line is an event or the creation of a job.

The line of an event is sent to the operation `import_events` unchanged. The creation of
a job precedes the events of the job.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self, cast

from trackerapi.events.event import kind_of
from trackerapi.times import parse_rfc3339

MAX_BATCH_LINES: Final = 1000
MAX_BATCH_BYTES: Final = 1024 * 1024
"""Maximum number and size of lines in one request of `import_events`, before
compression."""

CREATION_START: Final = b'{"create_job":'
"""First bytes of the line of a creation."""

_CREATION_MEMBER: Final = b'"create_job"'
_CREATION_ID: Final = "create_job "
_BEFORE_ALL: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """Record of a job that is to be created.

    Attributes:
        document: Members of the contract's `JobInput`.
        state: waiting (to be sent), done (the backend has the job), or held (rejected).
        problem: Members of the problem details of a rejection; None otherwise.
    """

    document: Mapping[str, Any]
    state: str = "waiting"
    problem: Mapping[str, Any] | None = None

    @classmethod
    def parse(cls, members: Mapping[str, Any]) -> Self | None:
        """Return the creation that a record describes; None for any other record."""
        document = members_in(members.get("create_job"))
        if "provider_job_id" not in document:
            return None
        return cls(
            document=document,
            state=str(members.get("state", "waiting")),
            problem=members_in(members.get("problem")) or None,
        )

    @property
    def provider_job_id(self) -> str:
        """The provider's id of the job."""
        return str(self.document.get("provider_job_id"))

    @property
    def record_id(self) -> str:
        """Id of the record; see `record_id()`."""
        return creation_id(self.provider_job_id)

    def as_line(self) -> bytes:
        """Return the creation as a record, with the line end."""
        members: dict[str, Any] = {"create_job": self.document, "state": self.state}
        if self.problem:
            members["problem"] = self.problem
        return json.dumps(members, separators=(",", ":")).encode("ascii") + b"\n"


def creation_id(provider_job_id: str) -> str:
    """Return the id of the record that creates a job; see `record_id()`."""
    return _CREATION_ID + provider_job_id


def parse_record(line: bytes) -> dict[str, Any]:
    """Return the members of a record; an empty dict for a damaged line."""
    try:
        return members_in(json.loads(line))
    except (ValueError, RecursionError):
        return {}


def members_in(value: object) -> dict[str, Any]:
    """Return a JSON value if it is an object; an empty dict for any other value."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def is_creation(line: bytes) -> bool:
    """Return whether a line begins like a creation; does not parse the line."""
    return line.startswith(CREATION_START)


def parse_creation(line: bytes) -> Creation | None:
    """Return the creation in a line; None for an event or a damaged line."""
    # Most lines are events: the search for the member saves parsing each event.
    return Creation.parse(parse_record(line)) if _CREATION_MEMBER in line else None


def identity(line: bytes) -> tuple[str, str]:
    """Return `record_id()` and `job_of()` of a record."""
    members = parse_record(line)
    creation = Creation.parse(members)
    if creation is not None:
        return creation.record_id, creation.provider_job_id
    event_id = members.get("event_id")
    if not isinstance(event_id, str):
        event_id = f"damaged {zlib.crc32(line):08x}"
    return event_id, str(members.get("provider_job_id", ""))


def record_id(line: bytes) -> str:
    """Return the id of a record; copies in other files have the same id."""
    return identity(line)[0]


def job_of(line: bytes) -> str:
    """Return the provider's id of the job of a record; empty for a damaged line."""
    return identity(line)[1]


def time_of(members: Mapping[str, Any]) -> datetime | None:
    """Return the time at which an event happened; None for a damaged event."""
    with suppress(ValueError):
        return parse_rfc3339(str(members.get("occurred_at")))
    return None


def first_time(lines: Iterable[bytes]) -> datetime | None:
    """Return the time of the first event among records; None without an event."""
    return next(filter(None, (time_of(parse_record(line)) for line in lines)), None)


def sort_events(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the events sorted by time, then by id."""
    return sorted(
        events,
        key=lambda event: (time_of(event) or _BEFORE_ALL, str(event.get("event_id"))),
    )


def is_droppable(members: Mapping[str, Any]) -> bool:
    """Return whether a record may be dropped when the outbox is full."""
    if "create_job" in members:
        return False
    return kind_of(str(members.get("kind"))).is_droppable


def split_lines(chunk: bytes) -> list[bytes]:
    """Return the complete lines of `chunk`, each with its line feed.

    Only a line feed ends a line, as on the wire. `bytes.splitlines()` also splits at a
    carriage return.
    """
    return [line + b"\n" for line in chunk.split(b"\n")[:-1]]


def first_lines(chunk: bytes, max_lines: int) -> tuple[bytes, int]:
    """Return the first lines of `chunk`, and their number.

    Args:
        chunk: Complete lines.
        max_lines: Maximum number of lines, 1 or more.
    """
    parts = chunk.split(b"\n", max_lines)
    return chunk[: len(chunk) - len(parts[-1])], len(parts) - 1


def first_batch(chunk: bytes, max_lines: int) -> tuple[bytes, int]:
    """Return the first lines of `chunk` that fit one request, and their number.

    A creation needs a request of its own. A batch is therefore one creation, or the
    events before the next creation.

    Args:
        chunk: Complete lines.
        max_lines: Maximum number of events, 1 or more.
    """
    if is_creation(chunk):
        return first_lines(chunk, 1)
    events = chunk[: chunk.find(b"\n" + CREATION_START) + 1] or chunk
    return first_lines(events, max_lines)


def batches(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Divide lines into batches within the limits of `import_events`."""
    batch: list[bytes] = []
    size = 0
    for line in lines:
        is_full = len(batch) == MAX_BATCH_LINES or size + len(line) > MAX_BATCH_BYTES
        if batch and is_full:
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield batch


def count_that_fits(lines: Sequence[bytes], max_lines: int) -> int:
    """Return the number of leading lines that fit into one batch, at least 1.

    Args:
        lines: Records, each with its line feed.
        max_lines: Maximum number of lines in a batch.
    """
    size = count = 0
    for line in lines[:max_lines]:
        size += len(line)
        if size > MAX_BATCH_BYTES:
            break
        count += 1
    return max(count, 1)
