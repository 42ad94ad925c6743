"""What one line of an outbox file is: an event, or the creation of a job.

An event stands there exactly as `import_events` takes it, so that disk and wire share
their bytes. A creation stands ahead of the events of its job.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

MAX_BATCH_LINES: Final = 1000
MAX_BATCH_BYTES: Final = 1024 * 1024
"""Limits of `import_events`, counted unpacked."""

CREATION_START: Final = b'{"create_job":'

KNOWN_KINDS: Final = frozenset(
    {"start", "step", "skip", "error", "complete", "cancel", "interrupt"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """A job that is to be created.

    Attributes:
        document: Members of the contract's `JobInput`.
        state: waiting (to be sent), done (the backend has it), or held (refused).
        problem: Why it was refused; empty otherwise.
    """

    document: Mapping[str, Any]
    state: str = "waiting"
    problem: Mapping[str, Any] | None = None

    @property
    def provider_job_id(self) -> str:
        """The provider's id of the job."""
        return str(self.document.get("provider_job_id"))

    def as_line(self) -> bytes:
        """Return the creation as a record, with the line end."""
        members: dict[str, Any] = {"create_job": self.document, "state": self.state}
        if self.problem:
            members["problem"] = self.problem
        return json.dumps(members, separators=(",", ":")).encode("ascii") + b"\n"


def parse_creation(line: bytes) -> Creation | None:
    """Return the creation that a line holds; None if it is none."""
    members = parse_record(line)
    document = members.get("create_job")
    if not isinstance(document, dict) or "provider_job_id" not in document:
        return None
    problem = members.get("problem")
    return Creation(
        document=cast("dict[str, Any]", document),
        state=str(members.get("state", "waiting")),
        problem=cast("dict[str, Any]", problem) if isinstance(problem, dict) else None,
    )


def parse_record(line: bytes) -> dict[str, Any]:
    """Return the members of a record; none for what is damaged."""
    try:
        members = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", members) if isinstance(members, dict) else {}


def job_of(line: bytes) -> str:
    """Return the job that a record is about, by the provider's id."""
    creation = parse_creation(line)
    if creation is not None:
        return creation.provider_job_id
    return str(parse_record(line).get("provider_job_id", ""))


def is_droppable(members: Mapping[str, Any]) -> bool:
    """Tell whether a record may go when there is no room for all."""
    if "create_job" in members:
        return False
    kind = members.get("kind")
    # A word of the author's own is shown like `info`.
    return kind not in KNOWN_KINDS


def split_lines(chunk: bytes) -> list[bytes]:
    """Return the lines of `chunk`, each with its end, parted as the wire parts them."""
    return [line + b"\n" for line in chunk.split(b"\n")[:-1]]


def first_lines(chunk: bytes, count: int) -> tuple[bytes, int]:
    """Return the first lines of `chunk`, at most `count`, and how many they are.

    Args:
        chunk: Whole lines.
        count: 1 or more.
    """
    parts = chunk.split(b"\n", count)
    found = len(parts) - 1
    return chunk[: len(chunk) - len(parts[-1])], found


def count_that_fits(lines: Sequence[bytes], most_lines: int) -> int:
    """Return how many lines fit into one batch; at least one.

    Args:
        lines: Each with its end.
        most_lines: Most lines of a batch.
    """
    size = count = 0
    for line in lines[:most_lines]:
        size += len(line)
        if size > MAX_BATCH_BYTES:
            break
        count += 1
    return max(count, 1)
