"""Check of answers against the contract: types, formats, ranges and nesting.

The only place that decides whether a JSON text is an answer of a tracker backend. The
generated models are built afterwards and check nothing. New members and new values of
open sets pass: a later backend may know more than this client.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final, Never, TypeVar

from trackerapi_client.answers import OPERATIONS, SCHEMAS

Number = TypeVar("Number", int, float)

MAX_DEPTH: Final = 32
"""Deepest nesting of an answer; the contract's deepest schema has about ten levels."""

LARGEST_NUMBER: Final = 10**21
"""Largest number where the contract sets no bound: its digits still fit a line."""

# A base address may have a path of its own, so only the end of the path counts;
# the longest template wins where two fit.
_TEMPLATES: Final = [
    (method, re.compile(template.replace("{}", "[^/]+") + "$"), answers)
    for key, answers in sorted(OPERATIONS.items(), key=lambda item: -len(item[0]))
    for method, template in [key.split(" ")]
]
_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII
)
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


class InvalidAnswer(ValueError):
    """The text is no answer of a tracker backend; `str()` names location and fault."""


def parsed(body: bytes) -> dict[str, Any]:
    """Return the JSON object that `body` holds.

    Raises:
        NotAnAnswer: If `body` is not UTF-8, no JSON object, nested deeper than
            `MAX_DEPTH`, or holds a number or text that JSON cannot exchange safely.
    """
    try:
        # `json.loads(bytes)` would take UTF-16 and lone surrogates too.
        content = json.loads(
            body.decode(), parse_constant=_refuse, parse_float=_finite, parse_int=_whole
        )
    except RecursionError:
        raise InvalidAnswer(f"more than {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise InvalidAnswer("no JSON") from error
    if not isinstance(content, dict):
        raise InvalidAnswer("no JSON object")
    _check_values(content)
    return content


def check_answer(
    method: str, path: str, status: int, content: Mapping[str, Any]
) -> None:
    """Check that `content` fits the contract's answer `status` to the request `path`.

    Raises:
        NotAnAnswer: If `content` does not fit, or no operation has the path.
    """
    for its_method, template, answers in _TEMPLATES:
        if its_method == method and template.search(path):
            if status not in answers:
                raise InvalidAnswer("the operation has no such answer")
            check_model(answers[status], content)
            return
    raise InvalidAnswer("no operation has this path")


def check_model(name: str, content: object) -> None:
    """Check that `content` has the form of the contract's schema `name`.

    Raises:
        NotAnAnswer: If it does not.
    """
    fault = next(_faults(SCHEMAS[name], content, ""), None)
    if fault is not None:
        raise InvalidAnswer(fault)


def _faults(schema: Mapping[str, Any], value: Any, place: str) -> Iterator[str]:
    schema = SCHEMAS[schema["$ref"]] if "$ref" in schema else schema
    if "anyOf" in schema:
        found = [next(_faults(each, value, place), None) for each in schema["anyOf"]]
        yield from () if None in found else map(str, found)
    elif not _is_of(value, schema.get("type", list(_TYPES))):
        yield f"{place or 'the answer'} is of another type"
    elif isinstance(value, dict):
        yield from _faults_of_members(schema, value, place)
    elif isinstance(value, list):
        items = schema.get("items", {})
        for index, each in enumerate(value):
            yield from _faults(items, each, f"{place}/{index}")
    elif not _is_admitted(schema, value):
        yield f"{place} is out of range or of another format"


def _faults_of_members(
    schema: Mapping[str, Any], value: Mapping[str, Any], place: str
) -> Iterator[str]:
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{place}/{name} is missing"
    for name, each in schema.get("properties", {}).items():
        if name in value:
            yield from _faults(each, value[name], f"{place}/{name}")


def _is_admitted(schema: Mapping[str, Any], value: Any) -> bool:
    if isinstance(value, str):
        return _has_format(value, schema.get("format", ""))
    if value is None or isinstance(value, bool):
        return True
    lowest, highest = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    return bool(lowest <= value <= highest)


def _is_of(value: object, kinds: str | list[str]) -> bool:
    types = [_TYPES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds)]
    # In Python, `bool` is a subclass of `int`.
    return type(value) in chain.from_iterable(types)


def _has_format(text: str, wanted: str) -> bool:
    if wanted == "uuid":
        return _UUID.fullmatch(text) is not None
    if wanted != "date-time":
        return True
    if _TIME.fullmatch(text) is None:
        return False
    try:
        # Near the years 1 and 9999, an offset may lead to a year outside of `datetime`.
        datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return False
    return True


def _check_values(content: object) -> None:
    """Refuse deep nesting and texts with surrogates, which UTF-8 cannot encode."""
    level = [content]
    for _ in range(MAX_DEPTH):
        inner: list[object] = []
        for value in level:
            if isinstance(value, dict):
                inner += value
                inner += value.values()
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, str) and not value.isascii():
                _check_text(value)
        if not inner:
            return
        level = inner
    raise InvalidAnswer(f"more than {MAX_DEPTH} levels")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidAnswer("a text holds half a character") from None


def _refuse(constant: str) -> Never:
    raise ValueError(f"{constant} is no number of JSON")


def _finite(digits: str) -> float:
    return _bounded(float(digits))


def _whole(digits: str) -> int:
    return _bounded(int(digits))


def _bounded(number: Number) -> Number:
    if abs(number) > LARGEST_NUMBER:
        raise ValueError("a number is too large")
    return number
