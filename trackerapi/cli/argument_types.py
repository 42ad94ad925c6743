"""Argument types for argparse: numbers, times, ids, metadata, long texts."""

import argparse
import json
import math
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final, cast

from trackerapi.events.metadata import MAX_INTEGER

STDIN: Final = "-"
"""Option value for which the command reads the text from stdin."""

_WORDS: Final = {"true": True, "false": False}
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?", re.ASCII)
_MAX_NUMBER_LENGTH: Final = 400
_MAX_DIGITS: Final = 100
_MAX_ID: Final = 2**53 - 1
_KEPT_BYTES: Final = 64 * 1024


def number(text: str) -> float:
    """Parse a number; return a float if it has a decimal point or an exponent."""
    value = _number(text)
    if value is None:
        raise argparse.ArgumentTypeError(f"not a number: {text!r}")
    return value


def key_value(text: str) -> tuple[str, Any]:
    """Parse `KEY=VALUE`; convert a number, `true` or `false` to its Python value."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"not KEY=VALUE: {text!r}")
    if value in _WORDS:
        return key, _WORDS[value]
    as_number = _number(value)
    # A number above `MAX_INTEGER`, such as a long id, stays text: some JSON readers
    # would round the number.
    is_exact = as_number is not None and abs(as_number) <= MAX_INTEGER
    return key, as_number if is_exact else value


def json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"not an object in JSON: {text!r}")
    return cast("dict[str, Any]", value)


def seconds(text: str) -> float:
    """Parse a number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"not a number of seconds above 0: {text!r}")
    return value


def moment(text: str) -> datetime:
    """Parse a time, and return it in UTC; a time without an offset is local time."""
    try:
        read = datetime.fromisoformat(text)
        return (read if read.tzinfo else read.astimezone()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"not a time such as 2026-11-24T01:00:00Z: {text!r}"
        ) from None


def positive_integer(text: str) -> int:
    """Parse a whole number above 0."""
    is_number = text.isascii() and text.isdigit() and len(text) < _MAX_DIGITS
    if not is_number or int(text) < 1:
        raise argparse.ArgumentTypeError(f"not a whole number above 0: {text!r}")
    return int(text)


def customer_id(text: str) -> int:
    """Parse the id of a customer, a whole number from 1 to 2**53 - 1."""
    # The length is checked first: Python refuses to convert thousands of digits.
    is_number = text.isascii() and text.isdigit() and len(text) < _MAX_DIGITS
    if not is_number or not 1 <= int(text) <= _MAX_ID:
        raise argparse.ArgumentTypeError(f"not the id of a customer: {text!r}")
    return int(text)


def metadata_from(
    whole: dict[str, Any] | None, pairs: Iterable[tuple[str, Any]] | None
) -> dict[str, Any] | None:
    """Return the metadata of an event; None if both arguments are empty.

    Args:
        whole: Values of `--metadata-json`, as `json_object()` returns them.
        pairs: Values of `--metadata`, as `key_value()` returns them; they override
            `whole`.
    """
    return {**(whole or {}), **dict(pairs or ())} or None


def long_text(text: str | None) -> str | None:
    """Return the text of an option, without the middle of a long text.

    For `-`, the text is read from stdin. None for a missing or empty text.
    """
    if text == STDIN:
        stream = cast("BinaryIO | None", getattr(sys.stdin, "buffer", None))
        text = _read_begin_and_end(stream) if stream is not None else None
    if not text:
        return None
    from trackerapi.jobs.endings import shorten

    return shorten(text)


def _read_begin_and_end(stream: BinaryIO) -> str:
    """Read a stream to its end; keep its first and last 64 KiB to bound memory."""
    begin, end = stream.read(_KEPT_BYTES), b""
    while chunk := stream.read(_KEPT_BYTES):
        end = (end + chunk)[-_KEPT_BYTES:]
    return (begin + end).decode("utf-8", "replace").strip()


def _number(text: str) -> float | None:
    """Return the value of a finite JSON number; None for any other text."""
    if len(text) > _MAX_NUMBER_LENGTH or not _NUMBER.fullmatch(text):
        return None
    value: float = json.loads(text)
    return value if math.isfinite(value) else None
