"""Metadata of an event, converted to JSON within the limits of the contract.

Metadata must never make an event fail. Values of types that JSON lacks are converted,
and values beyond the limits are cut. The converted metadata lists the changed keys.
"""

import json
import math
import reprlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from numbers import Integral, Real
from typing import Any, Final

from trackerapi.arguments import MAX_NAME_LENGTH, fit_text
from trackerapi.events.event import compact_json

MAX_KEYS: Final = 50
MAX_BYTES: Final = 8192
MAX_LEVELS: Final = 5
MAX_INTEGER: Final = 2**53 - 1
"""Largest whole number that every JSON reader keeps (RFC 8259, section 6)."""

CHANGED_KEY: Final = "trackerapi_changed"
"""Key under which the record names all converted, cut or omitted keys."""

_MAX_CUT_TEXT: Final = 200
_MAX_ITEMS: Final = 1000
_MAX_VALUES: Final = 4096  # more than 8 KiB can have; stops at cycles of containers
_MARKS_BYTES: Final = 1000
_MAX_READS: Final = 3
"""Maximum number of reads of one value: another thread may change it during a read."""

# Limited depth: nested containers that each contain the next container twice have a
# repr of exponential length.
_BRIEF: Final = reprlib.Repr()
_BRIEF.maxlevel = 2


@dataclass(frozen=True, slots=True)
class ShapedMetadata:
    """Metadata in the form of a record.

    Attributes:
        values: JSON values within the limits; includes `CHANGED_KEY` if keys changed.
        changed: Keys with a converted, cut or omitted value; empty if all values fit.
    """

    values: dict[str, Any]
    changed: tuple[str, ...]


def shape_metadata(metadata: Mapping[Any, Any]) -> ShapedMetadata:
    """Return `metadata` within the limits of the contract.

    The limits are 50 keys of 1 to 100 characters, 8 KiB as JSON, five levels, texts
    without NUL and whole numbers within 2**53 - 1. A value of another type becomes its
    `str()`; NaN and infinities become null.
    """
    shaping = _Shaping()
    values: dict[str, Any] = {}
    pairs = _pairs_of(metadata, _MAX_VALUES)
    if pairs is None:
        pairs = [("?", metadata)]
        shaping.key = "?"
        shaping.mark()
    for key, value in pairs:
        text = _key_text(key)
        name = fit_text(text, MAX_NAME_LENGTH) or "?"
        shaping.key = name
        if name != text or not isinstance(key, str):
            shaping.mark()
        values[name] = shaping.value(value, level=2)
    changed = shaping.changed
    if len(values) <= MAX_KEYS and _json_bytes(values) <= MAX_BYTES and not changed:
        return ShapedMetadata(values, ())
    return _within_limits(values, changed)


def is_mapping(value: object) -> bool:
    """Return whether `value` is a mapping; False if its class cannot be read."""
    try:
        return isinstance(value, Mapping)
    except Exception:  # noqa: BLE001 - `__class__` of a lazy proxy may raise anything
        return False


def plain_json(metadata: object) -> str | None:
    """Return metadata as JSON if it fits unchanged; None if it has to be shaped.

    Fast path for nearly every event: takes hardly longer than the encoding alone.
    """
    if type(metadata) is not dict or len(metadata) > MAX_KEYS:
        return None
    metadata = metadata.copy()  # another thread may change the dict during the loop
    for name, value in metadata.items():
        if type(name) is not str or not 0 < len(name) <= MAX_NAME_LENGTH:
            return None
        kind = type(value)
        if kind is int or kind is float:
            if not -MAX_INTEGER <= value <= MAX_INTEGER:  # also True for NaN
                return None
        elif kind is not str and kind is not bool and value is not None:
            return None
    text: str = compact_json(metadata)
    # `shape_metadata()` handles NUL and surrogates, paired surrogates included. Most
    # texts have no `\\u`: the first search then saves the two other searches.
    if "\\u" in text and ("\\u0000" in text or "\\ud" in text):
        return None
    return text if len(text) <= MAX_BYTES else None


_LIMITS: Final = f"{MAX_KEYS} keys, {MAX_BYTES:,} bytes, five levels, numbers to 2**53"
_JSON_TYPES: Final = frozenset({str, int, float, bool, list, tuple, dict, type(None)})


def change_text(given: Mapping[str, Any], shaped: ShapedMetadata) -> str:
    """Return the warning about changed metadata: key, reason and stored form.

    The text names the first changed key, and counts the other keys. The text never
    contains a value: metadata is not for the log.

    Args:
        given: Metadata from the script.
        shaped: Result of `shape_metadata()`, with at least one changed key.
    """
    first, *others = shaped.changed
    more = f" (and {len(others)} keys more)" if others else ""
    kind: type[object] = type(_value_of(given, first))
    reason = f"does not fit JSON or the limits ({_LIMITS})"
    if kind not in _JSON_TYPES:
        reason = f"{kind.__name__} is not JSON"
    stored = "left out"
    if first in shaped.values:
        match shaped.values[first]:
            case str():
                stored = "stored as text"
            case None:
                stored = "stored as null"
            case _:
                stored = "stored in part"
    return f"metadata key {first!r}: {reason}; {stored}{more}"


def _value_of(given: Mapping[str, Any], key: str) -> object:
    with suppress(Exception):  # a mapping class of the script may raise any error
        return given.get(key)
    return None


@dataclass(slots=True)
class _Shaping:
    """Conversion of the metadata of one event.

    Attributes:
        key: Key of the current value.
        value_count: Number of values converted so far, nested values included.
        changed: Keys with changed values, in their order; the values are None.
    """

    key: str = ""
    value_count: int = 0
    changed: dict[str, None] = field(default_factory=dict[str, None])

    def mark(self) -> None:
        self.changed[self.key] = None

    def value(self, value: Any, level: int) -> Any:
        try:
            return self._shape(value, level)
        except Exception:  # noqa: BLE001 - a foreign class may raise anything
            return self._mark_changed(_text_of(value))

    def _shape(self, value: Any, level: int) -> Any:
        self.value_count += 1
        match value:
            case _ if self.value_count > _MAX_VALUES:
                return self._mark_changed(None)
            case None | True | False:
                return value
            case str():
                whole_text = str.__str__(value)
                text = fit_text(whole_text, MAX_BYTES)
                return text if text == whole_text else self._mark_changed(text)
            case Integral():
                whole = int(value)
                small = -MAX_INTEGER <= whole <= MAX_INTEGER
                return whole if small else self._mark_changed(_text_of(value))
            case Real():
                return self._real(value)
            case Mapping() if level <= MAX_LEVELS:
                return self._mapping(value, level)
            case list() | tuple() if level <= MAX_LEVELS:
                given = list(value[: _MAX_ITEMS + 1])
                items = [self.value(item, level + 1) for item in given[:_MAX_ITEMS]]
                return items if len(items) == len(given) else self._mark_changed(items)
            case _:
                return self._mark_changed(_text_of(value))

    def _mapping(self, value: Mapping[Any, Any], level: int) -> dict[str, Any]:
        pairs = _pairs_of(value, _MAX_ITEMS + 1)
        if pairs is None:
            raise ValueError("it cannot be read")
        if len(pairs) > _MAX_ITEMS or not all(isinstance(k, str) for k, _ in pairs):
            self.mark()
        return {
            fit_text(_key_text(name), MAX_BYTES): self.value(item, level + 1)
            for name, item in pairs[:_MAX_ITEMS]
        }

    def _real(self, value: Real) -> float | None:
        try:
            number = float(value)
        except OverflowError:  # a `Fraction` beyond the range of floats
            number = math.inf
        if math.isfinite(number) and abs(number) <= MAX_INTEGER:
            return number
        self.mark()
        return None

    def _mark_changed(self, value: Any) -> Any:
        self.mark()
        return value


def _within_limits(values: dict[str, Any], changed: dict[str, None]) -> ShapedMetadata:
    """Cut long values and omit keys until the metadata and `CHANGED_KEY` fit."""
    room = MAX_BYTES - _MARKS_BYTES
    kept: dict[str, Any] = {}
    size = 0
    is_too_large = _json_bytes(values) > room
    for name, value in values.items():
        if is_too_large and _json_bytes(value) > _MAX_CUT_TEXT:
            changed[name] = None
            text = value if isinstance(value, str) else json.dumps(value)
            value = fit_text(text, _MAX_CUT_TEXT)  # noqa: PLW2901
        member_bytes = _json_bytes({name: value})
        if size + member_bytes <= room and len(kept) < MAX_KEYS - 1:
            kept[name] = value
            size += member_bytes
        else:
            changed[name] = None
    names = tuple(changed)
    return ShapedMetadata({**kept, CHANGED_KEY: _marks(names)}, names)


def _marks(names: tuple[str, ...]) -> list[str]:
    """Return the first names that fit into the value of `CHANGED_KEY`."""
    marks = [fit_text(name, 40) for name in names[:10]]
    while _json_bytes({CHANGED_KEY: marks}) > _MARKS_BYTES:
        marks.pop()
    return marks


def _json_bytes(value: Any) -> int:
    return len(json.dumps(value))


def _key_text(key: object) -> str:
    # `str.__str__` makes a plain `str`: methods of a subclass may raise anything.
    return str.__str__(key) if isinstance(key, str) else _text_of(key)


def _text_of(value: object) -> str:
    for _ in range(_MAX_READS):
        try:
            is_container = isinstance(value, list | tuple | Mapping)
            as_text = _BRIEF.repr if is_container else str
            return fit_text(as_text(value), _MAX_CUT_TEXT)
        except Exception:  # noqa: BLE001, S112 - a foreign __str__ may raise anything
            continue
    return f"<{type(value).__name__}>"


def _pairs_of(
    metadata: Mapping[Any, Any], max_pairs: int
) -> list[tuple[Any, Any]] | None:
    """Return up to `max_pairs` keys and values; None if the mapping cannot be read."""
    for _ in range(_MAX_READS):
        try:
            # `dict.copy()` is atomic: other threads cannot change the dict during the
            # copy, as they could during an iteration.
            given = metadata.copy() if type(metadata) is dict else metadata
            return [(key, value) for key, value in islice(given.items(), max_pairs)]
        except Exception:  # noqa: BLE001, S112 - a foreign class may raise anything
            continue
    return None
