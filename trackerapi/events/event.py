"""One event as plain data, and its JSON line on disk and on the wire."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

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
