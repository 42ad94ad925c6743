"""What is recorded: one event as plain data, and its one line on disk and wire.

Ids and times are given out here, so that the order of events within a process is
the order of their (`occurred_at`, `event_id`). No I/O beyond the clock.
"""

import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

KINDS: Final = (
    "start",
    "progress",
    "step",
    "skip",
    "error",
    "complete",
    "cancel",
    "info",
    "heartbeat",
)
"""Kinds that mean something to the backend; others are shown like `info`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact about a job, never changed after it is recorded.

    Attributes:
        event_id: Made once, at recording; the backend spots repeats by it.
        provider_job_id: Job the fact is about; 1 to 200 characters.
        kind: What happened; one of `KINDS`, or the author's own word.
        occurred_at: When it happened on the caller's clock; RFC 3339, UTC.
        tag: Step the fact is about; None for the job as a whole.
        metadata: Values for whom the configuration says; for the provider otherwise.
        completed: Units of the step done, 0 or more; None when not counted.
        total: Units of the step in all, 0 or more; None when not known.
        fraction: Share of the step done, 0.0 to 1.0; None when counted or unknown.
        retrying: Whether another attempt follows an `error` of a step.
        message: What the customer reads; None for nothing.
        detail: What only the provider reads; None for nothing.
    """

    event_id: str
    provider_job_id: str
    kind: str
    occurred_at: str
    tag: str | None = None
    metadata: Mapping[str, Any] | None = None
    completed: float | None = None
    total: float | None = None
    fraction: float | None = None
    retrying: bool = False
    message: str | None = None
    detail: str | None = None

    def as_line(self) -> bytes:
        """Return the event as one JSON line of the contract, without the line end."""
        members = {
            "event_id": self.event_id,
            "provider_job_id": self.provider_job_id,
            "kind": self.kind,
            "tag": self.tag,
            "event_metadata": self.metadata or None,
            "occurred_at": self.occurred_at,
            "completed": self.completed,
            "total": self.total,
            "fraction": self.fraction,
            "retrying": self.retrying or None,
            "message": self.message,
            "detail": self.detail,
        }
        given = {name: value for name, value in members.items() if value is not None}
        return _ENCODE(given).encode("ascii")


_ENCODE: Final = json.JSONEncoder(
    allow_nan=False, check_circular=False, separators=(",", ":")
).encode


class _Stamps:
    """Gives out ids and times that never go back within this process.

    Ids are UUIDv7 (RFC 9562): milliseconds, then a sequence within the millisecond,
    then 62 random bits of this process. Two processes differ by those bits; a
    forked child draws its own.
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Draw new random bits; a child must not go on with its parent's."""
        self._lock = threading.Lock()
        self._last_microseconds = 0
        self._last_milliseconds = 0
        self._sequence = 0
        bits = int.from_bytes(os.urandom(8)) & (2**62 - 1) | 2**63
        self._tail = f"-{bits >> 48:04x}-{bits & (2**48 - 1):012x}"

    def next(self) -> tuple[str, datetime]:
        """Return the id and the time of a new event."""
        with self._lock:
            # A clock that is set back must not reorder what the job said.
            now = max(time.time_ns() // 1000, self._last_microseconds)
            self._last_microseconds = now
            if now // 1000 > self._last_milliseconds:
                self._last_milliseconds = now // 1000
                self._sequence = 0
            else:
                self._sequence += 1
                if self._sequence > 0xFFF:
                    self._last_milliseconds += 1
                    self._sequence = 0
            head, sequence = self._last_milliseconds, self._sequence
        high, low = divmod(head, 0x10000)
        event_id = f"{high:08x}-{low:04x}-7{sequence:03x}{self._tail}"
        return event_id, datetime.fromtimestamp(now / 1_000_000, UTC)


_STAMPS: Final = _Stamps()
if hasattr(os, "register_at_fork"):  # not where there is no fork
    os.register_at_fork(after_in_child=_STAMPS.restart)


def new_stamp(not_before: datetime | None = None) -> tuple[str, datetime]:
    """Return the id and time of an event that happens now.

    Args:
        not_before: Latest time the job is known to have had; None without one.

    Returns:
        A UUIDv7 and an aware UTC time, neither below the one given out before.
    """
    event_id, now = _STAMPS.next()
    return event_id, now if not_before is None or now > not_before else not_before


def as_rfc3339(moment: datetime) -> str:
    """Return an aware `moment` in UTC as the wire writes it.

    Raises:
        TypeError: If `moment` is no datetime.
        ValueError: If `moment` has no offset, since its meaning would be a guess, or
            lies outside the years 1 to 9999 in UTC.
    """
    if not isinstance(moment, datetime):
        raise TypeError(f"a time must be a datetime, got {type(moment).__name__}")
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError("a time needs an offset, such as datetime.now(UTC)")
    try:
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:
        raise ValueError("a time must lie in the years 1 to 9999 in UTC") from None
