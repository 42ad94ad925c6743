"""Check of answers against the contract: types, formats, ranges and nesting.

Only this module decides whether a JSON text is an answer of a tracker backend: the
generated models check nothing. Unknown members and unknown values of open sets pass,
because a newer backend may send them.
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
"""Maximum nesting of an answer; the deepest schema of the contract has ten levels."""

MAX_NUMBER: Final = 10**21
"""Maximum absolute value of a number in an answer: 22 digits still fit a line."""

# Only the end of a path is matched: a base address may have a path of its own. Longer
# templates come first: if two templates match, the longer template is the right one.
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
    """The text is not an answer of a tracker backend; `str()` names the fault."""


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        InvalidAnswer: If `body` is not UTF-8 or not a JSON object, or is nested deeper
            than `MAX_DEPTH`. Also for NaN, infinity, numbers above `MAX_NUMBER`, and
            texts with half a surrogate pair.
    """
    try:
        # `json.loads(bytes)` would also accept UTF-16 and lone surrogates.
        content = json.loads(
            body.decode(), parse_constant=_refuse, parse_float=_finite, parse_int=_whole
        )
    except RecursionError:
        raise InvalidAnswer(f"more than {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise InvalidAnswer("its content is not JSON") from error
    if not isinstance(content, dict):
        raise InvalidAnswer("its content is not a JSON object")
    _check_values(content)
    return content


def check_answer(
    method: str, path: str, status: int, content: Mapping[str, Any]
) -> None:
    """Check an answer against the schema of its operation and status.

    Args:
        method: HTTP method of the request.
        path: Path of the request.
        status: HTTP status of the answer.
        content: Parsed body of the answer.

    Raises:
        InvalidAnswer: If the content does not fit the schema, or the contract has no
            such operation or status.
    """
    for template_method, template, answers in _TEMPLATES:
        if template_method == method and template.search(path):
            if status not in answers:
                raise InvalidAnswer("the contract has no answer with this status")
            check_model(answers[status], content)
            return
    raise InvalidAnswer("the contract has no operation with this path")


def check_model(name: str, content: object) -> None:
    """Check `content` against the schema `name` of the contract.

    Raises:
        InvalidAnswer: If the content does not fit the schema.
    """
    fault = next(_faults(SCHEMAS[name], content, ""), None)
    if fault is not None:
        raise InvalidAnswer(fault)


def _faults(schema: Mapping[str, Any], value: Any, pointer: str) -> Iterator[str]:
    """Yield each fault of a value; `pointer` is the JSON Pointer to the value."""
    schema = SCHEMAS[schema["$ref"]] if "$ref" in schema else schema
    if "anyOf" in schema:
        found = [next(_faults(each, value, pointer), None) for each in schema["anyOf"]]
        yield from () if None in found else map(str, found)
    elif not _has_type(value, schema.get("type", list(_TYPES))):
        yield f"{pointer or 'the answer'} has another type than in the contract"
    elif isinstance(value, dict):
        yield from _member_faults(schema, value, pointer)
    elif isinstance(value, list):
        items = schema.get("items", {})
        for index, each in enumerate(value):
            yield from _faults(items, each, f"{pointer}/{index}")
    elif not _is_allowed(schema, value):
        yield f"{pointer} is out of range or has another format"


def _member_faults(
    schema: Mapping[str, Any], value: Mapping[str, Any], pointer: str
) -> Iterator[str]:
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{pointer}/{name} is missing"
    members = schema.get("properties", {})
    for name, each in members.items():
        if name in value:
            yield from _faults(each, value[name], f"{pointer}/{name}")
    others = schema.get("additionalProperties", {})
    for name in value if others else ():
        if name not in members:
            yield from _faults(others, value[name], f"{pointer}/{name}")


def _is_allowed(schema: Mapping[str, Any], value: Any) -> bool:
    if isinstance(value, str):
        return _has_format(value, schema.get("format", ""))
    if value is None or isinstance(value, bool):
        return True
    lowest, highest = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    return bool(lowest <= value <= highest)


def _has_type(value: object, names: str | list[str]) -> bool:
    types = [_TYPES[name] for name in ([names] if isinstance(names, str) else names)]
    # Not `isinstance()`: in Python, `bool` is a subclass of `int`.
    return type(value) in chain.from_iterable(types)


def _has_format(text: str, wanted: str) -> bool:
    if wanted == "uuid":
        return _UUID.fullmatch(text) is not None
    if wanted != "date-time":
        return True
    if _TIME.fullmatch(text) is None:
        return False
    try:
        # Near the years 1 and 9999, an offset may lead out of the range of `datetime`.
        datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return False
    return True


def _check_values(content: object) -> None:
    """Raise for deep nesting, and for texts with half a surrogate pair.

    Not recursive: the parser may go deeper than Python functions.
    """
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
        raise InvalidAnswer("a text contains half a surrogate pair") from None


def _refuse(constant: str) -> Never:
    raise ValueError(f"{constant} is not a JSON number")


def _finite(digits: str) -> float:
    return _bounded(float(digits))


def _whole(digits: str) -> int:
    return _bounded(int(digits))


def _bounded(number: Number) -> Number:
    if abs(number) > MAX_NUMBER:
        raise ValueError("a number is too large")
    return number
