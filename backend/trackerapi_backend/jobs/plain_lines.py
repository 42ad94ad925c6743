"""Plain lines of a batch: a fast parser, which needs a third of the time of the schema.

Most lines contain a small event with printable texts and flat metadata. `PlainLine`
accepts most lines that are valid by the schema `EventInput`, and no invalid line. The
schema decides on all other lines, and finds their errors.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated

import msgspec

from trackerapi_backend.instants import parse_micros
from trackerapi_backend.jobs.new_event import (
    MAX_METADATA_BYTES,
    NO_METADATA,
    NewEvent,
    new_event_id,
)
from trackerapi_backend.requests.times import MAX_AHEAD

_MAX_NUMBER = 2**53 - 1
_Meta = msgspec.Meta
_Name = Annotated[str, _Meta(min_length=1, max_length=100)]
_Count = Annotated[float, _Meta(ge=0, le=_MAX_NUMBER)]
_Number = (
    Annotated[int, _Meta(ge=-_MAX_NUMBER, le=_MAX_NUMBER)]
    | Annotated[float, _Meta(ge=-_MAX_NUMBER, le=_MAX_NUMBER)]
)
_FlatMetadata = Annotated[
    dict[_Name, str | bool | _Number | None], _Meta(max_length=50)
]

# Later releases of Python read 24:00 as 00:00 of the next day.
_MINUTE = re.compile(r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d", re.ASCII)
_MINUTE_LENGTH = 16
_AFTER_MINUTE = re.compile(
    r":([0-5]\d)(?:\.(\d{1,6}))?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_HYPHENS = slice(8, 24, 5)
"""Positions of the hyphens of a UUID."""
_EVENT_ID_BYTES = 16


class PlainLine(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Members of a plain line.

    The default of a member stands for a missing member. A valid value equals the
    default only if both mean the same, such as `false` for `retrying`.
    """

    provider_job_id: Annotated[str, _Meta(min_length=1, max_length=200)]
    kind: _Name
    event_id: Annotated[str, _Meta(min_length=36, max_length=36)] = ""
    tag: _Name = ""
    name: _Name = ""
    event_metadata: _FlatMetadata | None = None
    occurred_at: Annotated[str, _Meta(min_length=20)] = ""
    completed: _Count = -1.0
    total: _Count = -1.0
    fraction: Annotated[float, _Meta(ge=0, le=1)] = -1.0
    part: _Name = ""
    retrying: bool = False
    message: Annotated[str, _Meta(min_length=1, max_length=2000)] = ""
    detail: Annotated[str, _Meta(min_length=1, max_length=16000)] = ""
    failed: _Count = -1.0
    max_attempts: Annotated[int, _Meta(ge=1, le=_MAX_NUMBER)] = 0


_decoder = msgspec.json.Decoder(PlainLine)
_encoder = msgspec.json.Encoder()


def read_plain_line(text: bytes, *, now: int, line: int) -> NewEvent | None:
    """Return the event of a plain line; None if only the schema can decide.

    Args:
        text: Line of a batch.
        now: Time of the request, in microseconds since 1970.
        line: Number of events before this event, see `read_event()`.
    """
    try:
        sent = _decoder.decode(text)
        event_id = _read_event_id(sent.event_id, now)
        occurred_at = _read_time(sent.occurred_at, now + line)
        metadata = _metadata_text(sent)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if not _has_plain_texts(sent):
        return None
    # Keywords would need twice the time.
    return NewEvent(
        0,
        0,
        event_id,
        sent.kind,
        sent.tag or sent.name or None,
        metadata,
        occurred_at,
        now,
        _count(sent.completed),
        _count(sent.total),
        _count(sent.fraction),
        sent.part or None,
        sent.retrying,
        sent.message or None,
        sent.detail or None,
        _count(sent.failed),
        sent.max_attempts or None,
        sent.provider_job_id,
        sent.event_id or None,
    )


def _has_plain_texts(sent: PlainLine) -> bool:
    """Return whether all texts are printable, and each name has more than spaces.

    A printable text has no control characters, no line breaks and no halves of
    surrogate pairs.
    """
    names = sent.provider_job_id, sent.kind, sent.tag, sent.name, sent.part
    for name in names:
        if not name.isprintable() or name.isspace():
            return False
    if sent.name and sent.tag and sent.name != sent.tag:
        return False
    return sent.message.isprintable() and sent.detail.isprintable()


def _metadata_text(sent: PlainLine) -> str:
    """Return the JSON text of metadata; raise ValueError unless plain."""
    if not sent.event_metadata:
        return NO_METADATA
    encoded = _encoder.encode(sent.event_metadata)
    text = encoded.decode()
    # JSON text has a backslash before each special character.
    if len(encoded) > MAX_METADATA_BYTES or "\\" in text or not text.isprintable():
        raise ValueError
    return text


def _read_event_id(sent: str, now: int) -> bytes:
    if not sent:
        return new_event_id(now)
    event_id = bytes.fromhex(sent.replace("-", ""))
    if sent[_HYPHENS] != "----" or len(event_id) != _EVENT_ID_BYTES:
        raise ValueError
    return event_id


def _read_time(sent: str, default: int) -> int:
    if not sent:
        return default
    rest = _AFTER_MINUTE.fullmatch(sent, _MINUTE_LENGTH)
    if rest is None:
        raise ValueError
    seconds, digits, zone = rest.groups("0")
    micros = _parse_minute(sent[:_MINUTE_LENGTH], zone)
    micros += int(seconds) * 1_000_000 + int(digits.ljust(6, "0"))
    return default if micros - default > MAX_AHEAD else micros


@lru_cache(1000)
def _parse_minute(minute: str, zone: str) -> int:
    """Return the microseconds of a minute: many events of a job share their minute."""
    if not _MINUTE.fullmatch(minute):
        raise ValueError
    return parse_micros(f"{minute}:00{zone}")


def _count(sent: float) -> float | None:
    return None if sent < 0 else abs(sent)
