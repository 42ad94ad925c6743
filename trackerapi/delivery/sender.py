"""The seam between delivery and the wire."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A line that the backend refused for good.

    Attributes:
        index: Place of the line in what was sent; the first is 0.
        problem: Members of the problem details (RFC 9457) that say why.
    """

    index: int
    problem: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of the lines of one batch.

    Attributes:
        accepted: Lines stored by this delivery.
        duplicates: Lines that an earlier delivery had stored.
        rejections: Lines refused for good, in order.
    """

    accepted: int
    duplicates: int
    rejections: tuple[Rejection, ...] = ()


class Sender(Protocol):
    """Carries one batch of records to the backend, once; it never retries."""

    def send(self, lines: Sequence[bytes]) -> Receipt:
        """Deliver `lines` in order; the receipt names those refused for good.

        Args:
            lines: Events as NDJSON lines without the line end.

        Raises:
            BackendUnavailable: If no usable answer came; the batch may have arrived.
                Carries `retry_after_seconds`.
            AuthenticationError: If the key was refused; nothing arrived.
            BackendRejected: If the batch was refused as a whole; nothing arrived.
        """
        ...
