"""The seam between delivery and the wire."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A line that the backend refused for good.

    Attributes:
        index: Place of the line in what was sent; the first is 0.
        problem: Members of the problem details (RFC 9457) that say why.
        event_id: Id of the event in that line, as the answer names it; None where the
            backend could not read the line.
    """

    index: int
    problem: Mapping[str, Any]
    event_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """What became of the lines of one batch.

    Attributes:
        accepted: Lines stored by this delivery.
        duplicates: Lines that an earlier delivery had stored.
        rejections: Lines refused for good, in order.
    """

    accepted: int
    duplicates: int
    rejections: tuple[Rejection, ...] = ()

    @classmethod
    def refusing_one(cls, problem: Mapping[str, Any]) -> Self:
        """Return the receipt for a batch of one line that was refused."""
        return cls(
            accepted=0,
            duplicates=0,
            rejections=(Rejection(index=0, problem=problem),),
        )


class Sender(Protocol):
    """Carries records to the backend, once each; it never retries.

    Each method raises `BackendUnavailable` if no usable answer came (what was sent may
    have arrived), `AuthenticationError` if the key was refused (nothing arrived) and
    `BackendRejected` if all of it was refused (nothing arrived).
    """

    def send(self, batch: bytes) -> BatchResult:
        """Deliver events in order; the receipt names those refused for good.

        Args:
            batch: NDJSON, each line with its end; at most 1,000 lines and 1 MiB.
        """
        ...

    def create_job(self, creation: Mapping[str, Any]) -> None:
        """Create a job, or attach to it.

        Args:
            creation: Members of the contract's `JobInput`.
        """
        ...

    def identify(self) -> int:
        """Return the id of the provider whose key this is."""
        ...

    def list_key_ids(self) -> Iterable[str]:
        """Return the ids of keys of the provider, also of keys that ended.

        Only a key with the scope `admin` may list them: for others the backend raises
        `AuthenticationError`.
        """
        ...

    def reload_key(self) -> str | None:
        """Read the key again where it came from; return its key id if it has one.

        Raises nothing: a key that cannot be read is left as it was.
        """
        ...
