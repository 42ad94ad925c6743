"""What is recorded: one event as plain data, and its one line on disk and wire.

Ids and times are given out here, so that the order of the events of a thread is the
order of their (`occurred_at`, `event_id`). No I/O beyond the clock.
"""

import itertools
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from trackerapi.process.clock import moment_at, wall_nanoseconds

KINDS: Final = (
    "start",
    "progress",
    "step",
    "skip",
    "error",
    "complete",
    "cancel",
    "interrupt",
    "info",
    "heartbeat",
)
"""Kinds that mean something to the backend; others are shown like `info`."""

CONFLATED_KINDS: Final = frozenset({"progress", "heartbeat"})
"""Kinds of which only the newest counts."""

STEP_KINDS: Final = frozenset({"progress", "step", "skip"})
"""Kinds that mean nothing without a step."""

JOB_KINDS: Final = frozenset({"cancel", "interrupt"})
"""Kinds that mean nothing of a step."""


_SECONDS_LENGTH: Final = len("1970-01-01T00:00:00")


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
        part: Who counted, where several count towards one step; 1 to 100
            characters. The backend adds up the most that each part has completed.
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
    part: str | None = None
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
            "part": self.part,
            "retrying": self.retrying or None,
            "message": self.message,
            "detail": self.detail,
        }
        given = {name: value for name, value in members.items() if value is not None}
        return compact_json(given).encode("ascii")


_ENCODER: Final = json.JSONEncoder(
    allow_nan=False, check_circular=False, separators=(",", ":")
)


def _c_encode() -> Callable[[Any], str]:
    """Return what `JSONEncoder.encode` does, without making an encoder each time.

    Where an interpreter has no encoder in C, the one in Python serves.
    """
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return _ENCODER.encode
    quote = json.encoder.encode_basestring_ascii
    encode = make(None, _ENCODER.default, quote, None, ":", ",", False, False, False)
    join = "".join
    return lambda value: join(encode(value, 0))


compact_json: Final = _c_encode()


class _Stamps:
    """Gives out ids and times that never go back within a thread.

    Ids are UUIDv7 (RFC 9562): milliseconds, the microsecond within, a counter of 32
    bits, and 28 random bits of this process. Two processes differ by those bits and
    by where they begin to count; a forked child draws its own.

    Nothing here breaks if a signal handler asks for a stamp in the middle of one.
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Draw new random bits; a child must not go on with its parent's."""
        self._last = 0
        self._count = itertools.count(int.from_bytes(os.urandom(4)) >> 1)
        self._tail = f"{int.from_bytes(os.urandom(4)) >> 4:07x}"
        # Texts of the present millisecond and second, which events of a burst share.
        self._millisecond = self._second = (-1, "")

    def next(self, not_before: int = 0) -> tuple[str, str]:
        """Return the id and time of an event that happens now.

        Args:
            not_before: Latest time the job is known to have had, in microseconds
                since 1970; 0 for none.

        Returns:
            A UUIDv7 and a time in RFC 3339, UTC, neither below those of earlier calls
            of this thread. Where a signal handler asks in the middle of a call, the
            handler's may be higher than those of that call.
        """
        now = wall_nanoseconds() // 1000
        # No lock: it would cost 4 % of a report. No other thread and no signal handler
        # runs between the check and the store, because neither calls anything.
        last = self._last
        if now < last:  # the clock was set back
            now = last
        self._last = now
        count = next(self._count)
        milliseconds, microsecond = divmod(now, 1000)
        known, begin = self._millisecond
        if milliseconds != known:
            begin = f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7"
            self._millisecond = (milliseconds, begin)
        event_id = (
            f"{begin}{microsecond:03x}"
            f"-8{count >> 20 & 0xFFF:03x}-{count & 0xFFFFF:05x}{self._tail}"
        )
        second, microseconds = divmod(max(now, not_before), 1_000_000)
        known, text = self._second
        if second != known:
            text = _to_the_second(second)
            self._second = (second, text)
        return event_id, f"{text}.{microseconds:06d}Z"


def _to_the_second(second: int) -> str:
    # Not strftime, which imports: a finalizer may report when nothing can be imported.
    return moment_at(second * 1_000_000).isoformat()[:_SECONDS_LENGTH]


_STAMPS: Final = _Stamps()
if hasattr(os, "register_at_fork"):  # not where there is no fork
    os.register_at_fork(after_in_child=_STAMPS.restart)


new_stamp: Final = _STAMPS.next


def as_microseconds(moment: datetime) -> int:
    """Return an aware `moment` in microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

LAST_MOMENT: Final = as_microseconds(datetime.max.replace(tzinfo=UTC))
"""End of the year 9999, beyond which no time can be written."""


def parse_rfc3339(text: str) -> datetime:
    """Return the time that a record or a person has written, in UTC.

    A time without an offset is taken for UTC.

    Raises:
        ValueError: If `text` is no time, or outside the years 1 to 9999 in UTC.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"outside the years 1 to 9999 in UTC: {text!r}") from None


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
