"""Interface between delivery and the HTTP client: one request per call."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A line of a batch that the backend has rejected for its content.

    Attributes:
        index: Index of the line in the batch; the first line has 0.
        problem: Members of the problem details (RFC 9457) with the reason.
        event_id: Id of the event in the line, as the answer names it; None if the
            backend could not read the line.
    """

    index: int
    problem: Mapping[str, Any]
    event_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """Result of one batch that the backend has processed.

    Attributes:
        accepted: Number of lines that this request has stored.
        duplicates: Number of lines that an earlier request had stored.
        rejections: Rejected lines, in the order of the batch.
    """

    accepted: int
    duplicates: int
    rejections: tuple[Rejection, ...] = ()

    @classmethod
    def rejecting_one(cls, problem: Mapping[str, Any]) -> Self:
        """Return the result of a batch of one rejected line."""
        return cls(
            accepted=0,
            duplicates=0,
            rejections=(Rejection(index=0, problem=problem),),
        )


class Sender(Protocol):
    """Client for delivery: each call makes one attempt, and blocks until it ends.

    Methods that send a request raise:

    - `BackendUnavailable` without a usable answer; the content may have arrived.
    - `AuthenticationError` if the backend rejects the key; nothing is stored.
    - `BackendRejected` if the backend rejects the whole content; nothing is stored.
    """

    def send(self, batch: bytes) -> BatchResult:
        """Send events in order; the result lists the rejected lines.

        Args:
            batch: NDJSON, each line with its line end; at most 1,000 lines and 1 MiB.
        """
        ...

    def create_job(self, creation: Mapping[str, Any]) -> None:
        """Create a job, or attach to the existing job.

        Args:
            creation: Members of the contract's `JobInput`.
        """
        ...

    def identify(self) -> int:
        """Return the id of the provider that owns the key."""
        ...

    def list_key_ids(self) -> Iterable[str]:
        """Return the ids of the provider's keys, expired keys included.

        A key without the scope `admin` may not list keys: the backend then raises
        `AuthenticationError`.
        """
        ...

    def reload_key(self) -> str | None:
        """Read the key again from its setting; return its id, None without an id.

        Raises nothing: if the setting cannot be read, the old key stays in use.
        """
        ...
