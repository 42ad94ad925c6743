"""Event kinds, and `Event`: one event as plain data and as a JSON line."""

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from operator import attrgetter
from typing import Any, Final

from trackerapi.arguments import (
    MAX_DETAIL_LENGTH,
    MAX_MESSAGE_LENGTH,
    check_flag,
    check_id,
    check_name,
    check_number,
    check_text,
)
from trackerapi.times import as_rfc3339

MAX_UNITS: Final = float(2**53 - 1)
"""Maximum of `completed` and `total`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventKind:
    """Effects of the events of one kind.

    Attributes:
        name: Word for the kind in calls and on the wire.
        needs_step: Whether events without a step have no effect.
        is_of_job: Whether events are about the whole job. An event with a step then has
            no effect.
        is_conflated: Whether a newer event replaces an event that is not written yet.
        moves_status: Whether events can change the status of a job or step.
        is_work: Whether events report work: they set a pending, failed or interrupted
            job to running.
        begins_attempt: Whether events begin an attempt at a step if no attempt is open.
        step_status: Status of the step after an event that ends an attempt; None for
            kinds that end no attempt.
        job_status: Status of a running job after an event without a step that ends or
            interrupts the job; None for other kinds.
        is_droppable: Whether a full outbox may drop events. Of kind `progress`, only
            superseded events are dropped.
    """

    name: str
    needs_step: bool = False
    is_of_job: bool = False
    is_conflated: bool = False
    moves_status: bool = False
    is_work: bool = False
    begins_attempt: bool = False
    step_status: str | None = None
    job_status: str | None = None
    is_droppable: bool = False

    @property
    def closes_attempt(self) -> bool:
        """Whether events end the open attempt at a step."""
        return self.step_status is not None

    @property
    def ends_job(self) -> bool:
        """Whether events without a step end the job; an interrupted job goes on."""
        return self.job_status not in (None, "interrupted")


KINDS: Final[Mapping[str, EventKind]] = {
    kind.name: kind
    for kind in (
        EventKind(name="start", moves_status=True, is_work=True, begins_attempt=True),
        EventKind(
            name="progress",
            needs_step=True,
            is_conflated=True,
            moves_status=True,
            is_work=True,
            begins_attempt=True,
            is_droppable=True,
        ),
        EventKind(
            name="step",
            needs_step=True,
            moves_status=True,
            is_work=True,
            begins_attempt=True,
            step_status="done",
        ),
        EventKind(
            name="skip",
            needs_step=True,
            moves_status=True,
            is_work=True,
            step_status="skipped",
        ),
        EventKind(
            name="error",
            moves_status=True,
            step_status="failed",
            job_status="failed",
        ),
        EventKind(name="complete", moves_status=True, job_status="succeeded"),
        EventKind(
            name="cancel",
            is_of_job=True,
            moves_status=True,
            job_status="cancelled",
        ),
        EventKind(
            name="interrupt",
            is_of_job=True,
            moves_status=True,
            job_status="interrupted",
        ),
        EventKind(name="info", is_droppable=True),
        EventKind(name="heartbeat", is_conflated=True, is_droppable=True),
    )
}
"""Kinds that have an effect at the backend, by name."""

_MIN_SIMILARITY: Final = 0.75
"""Minimum `difflib` ratio at which an unknown word counts as a misspelt kind."""

_OTHER: Final = KINDS["info"]
"""Kind of a name that is not in `KINDS`; the backend shows such events as `info`."""


def kind_of(name: str) -> EventKind:
    """Return the kind with this name, or `info` if the name is unknown."""
    return KINDS.get(name, _OTHER)


def kinds_with(flag: str) -> frozenset[str]:
    """Return the names of the kinds with a flag, for a fast lookup of each event.

    Args:
        flag: Name of a boolean attribute of `EventKind`.
    """
    return frozenset(kind.name for kind in KINDS.values() if getattr(kind, flag))


def similar_kind(name: str) -> str | None:
    """Return the most similar known kind; None without a similar kind."""
    near = difflib.get_close_matches(name.lower(), KINDS, n=1, cutoff=_MIN_SIMILARITY)
    return near[0] if near else None


Check = Callable[[str, Any], Any]
"""Function of an argument's name and value that returns the value to record."""


def _as_time(_name: str, value: Any) -> str:
    return as_rfc3339(value)


def _optional(check: Check, default: Any = None) -> Any:
    """Return an optional field of `Event`, with the check of its argument."""
    return field(default=default, metadata={"check": check})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact about a job, never changed after it is recorded.

    The fields are defined here once: `send_event()` takes the fields below
    `provider_job_id`, and the line on disk and wire has all of them.

    Attributes:
        event_id: UUID of the recorded event; the backend detects duplicates by it.
        provider_job_id: Job of the event; 1 to 200 characters.
        kind: One of `start`, `progress`, `step`, `skip`, `error`, `complete`,
            `cancel`, `interrupt`, `info` and `heartbeat`, or any other word.
        tag: Step of the event; None for the job as a whole.
        metadata: Values for the provider, and for the customer if the configuration
            shows them to customers.
        occurred_at: Time of the event on the caller's clock; RFC 3339, UTC.
        completed: Units of the step done, 0 to 2**53 - 1; None when not counted.
        total: Units of the step in all, 0 to 2**53 - 1; None when not known.
        fraction: Share of the step done, 0.0 to 1.0; None when counted or unknown.
        part: Name of the worker or host that counts, if several of them count one
            step; 1 to 100 characters. The backend adds up the largest count of each
            part.
        retrying: Whether another attempt follows an `error` of a step.
        failed: Units that failed, among the completed units of a `progress`; 0 to
            2**53 - 1; None when not counted.
        max_attempts: Maximum number of attempts, on an `error` with `retrying`; None
            when not known.
        message: Text for the customer; None without a text.
        detail: Text only for the provider; None without a text.

    Example:
        def before_send(event: Event) -> Event | None:
            return None if event.kind == "heartbeat" else event

        tracker = TrackerApi(before_send=before_send)
    """

    event_id: str
    provider_job_id: str
    kind: str
    tag: str | None = None
    metadata: Mapping[str, Any] | None = None
    occurred_at: str = field(metadata={"check": _as_time})
    completed: float | None = _optional(partial(check_number, largest=MAX_UNITS))
    total: float | None = _optional(partial(check_number, largest=MAX_UNITS))
    fraction: float | None = _optional(partial(check_number, largest=1.0))
    part: str | None = _optional(check_name)
    retrying: bool = _optional(check_flag, default=False)
    failed: float | None = _optional(partial(check_number, largest=MAX_UNITS))
    max_attempts: int | None = _optional(check_id)
    message: str | None = _optional(partial(check_text, longest=MAX_MESSAGE_LENGTH))
    detail: str | None = _optional(partial(check_text, longest=MAX_DETAIL_LENGTH))


_MEMBERS: Final = tuple(
    "event_metadata" if each.name == "metadata" else each.name for each in fields(Event)
)
"""Names of the fields on the wire."""

_values_of: Final = attrgetter(*(each.name for each in fields(Event)))


def event_members(event: Event) -> dict[str, Any]:
    """Return the fields of an event that have a value, by their names on the wire."""
    members = {
        name: value
        for name, value in zip(_MEMBERS, _values_of(event))  # noqa: B905 - one length
        if value is not None and value is not False
    }
    if not event.metadata:
        members.pop("event_metadata", None)
    return members


def event_line(event: Event) -> bytes:
    """Return an event as one JSON line of the contract, without the line end."""
    return compact_json(event_members(event)).encode("ascii")


DETAIL_CHECKS: Final[Mapping[str, Check]] = {
    each.name: each.metadata["check"]
    for each in fields(Event)
    if "check" in each.metadata
}
"""Checks of the arguments that a report may leave out, by name."""


_ENCODER: Final = json.JSONEncoder(
    allow_nan=False, check_circular=False, separators=(",", ":")
)


def _c_encode() -> Callable[[Any], str]:
    """Return a faster `JSONEncoder.encode`: all calls share one encoder in C.

    Interpreters without the encoder in C use the encoder in Python.
    """
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return _ENCODER.encode
    quote = json.encoder.encode_basestring_ascii
    encode = make(None, _ENCODER.default, quote, None, ":", ",", False, False, False)
    join = "".join
    return lambda value: join(encode(value, 0))


compact_json: Final = _c_encode()
