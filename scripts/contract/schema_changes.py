"""Changes between two schemas; the use of a schema decides whether they break.

Only the names of references are compared: `changes` compares each named schema once.
"""

import json
from collections.abc import Iterator
from enum import Flag, auto
from typing import Any

from scripts.contract.change import Change
from scripts.contract.document import Node

WORDS = frozenset(
    {"description", "summary", "title", "example", "examples", "externalDocs"}
)
LOWER_LIMITS = frozenset(
    {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
)
UPPER_LIMITS = frozenset(
    {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}
)
CHECKED_LIMITS = frozenset(
    {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"}
)
"""Limits that present clients check in answers."""
INNER = frozenset({"items", "propertyNames"})
HANDLED = frozenset(
    {"$ref", "type", "enum", "properties", "required", "anyOf", "deprecated"}
    | {"additionalProperties"}
)


class Direction(Flag):
    """Use of a schema: in requests, in answers, or in both."""

    REQUEST = auto()
    RESPONSE = auto()


def schema_changes(
    place: str, old: Node | bool, new: Node | bool, direction: Direction
) -> Iterator[Change]:
    """Yield the changes from `old` to `new`.

    Args:
        place: Location of the schema, for messages.
        old: The schema as it was.
        new: The schema as it is.
        direction: Use of the schema in operations; may be both.
    """
    old, new = _as_node(old), _as_node(new)
    if old.get("$ref") != new.get("$ref"):
        # A request may still use the earlier schema, as one of several alternatives.
        alternatives = [each.get("$ref") for each in new.get("anyOf", ())]
        is_wider = direction == Direction.REQUEST and old.get("$ref") in alternatives
        what = f"is {_kind(new)} instead of {_kind(old)}"
        yield Change(place, what, breaking=not is_wider)
        return
    yield from _type_changes(place, old, new, direction)
    yield from _enum_changes(place, old, new)
    yield from _property_changes(place, old, new, direction)
    yield from _required_changes(place, old, new, direction)
    yield from _alternative_changes(place, old, new, direction)
    yield from _closing_changes(place, old, new, direction)
    yield from deprecation(place, old, new)
    for keyword in sorted((old.keys() | new.keys()) - HANDLED):
        if is_words(keyword):
            continue
        before, after = old.get(keyword), new.get(keyword)
        if keyword in INNER and isinstance(before, dict) and isinstance(after, dict):
            yield from schema_changes(f"{place}.{keyword}", before, after, direction)
        elif before != after:
            yield _limit_change(place, keyword, before, after, direction)


def deprecation(place: str, old: Node, new: Node) -> Iterator[Change]:
    """Yield a change if `deprecated` differs between `old` and `new`."""
    was, now = old.get("deprecated", False), new.get("deprecated", False)
    if was != now:
        what = "is deprecated now" if now else "is no longer deprecated"
        yield Change(place, what, breaking=False)


def is_words(keyword: str) -> bool:
    """Return whether a member has no effect on clients: texts and extensions."""
    return keyword in WORDS or keyword.startswith("x-")


def value_text(value: Any) -> str:
    """Return a value of the contract as text."""
    return "absent" if value is None else json.dumps(value, default=str)


def _type_changes(
    place: str, old: Node, new: Node, direction: Direction
) -> Iterator[Change]:
    before, after = _types(old), _types(new)
    if before == after:
        return
    widened = direction == Direction.REQUEST and before < after
    narrowed = direction == Direction.RESPONSE and after < before
    harmless = bool(before and after) and (widened or narrowed)
    what = f"has the type {_listed(after)} instead of {_listed(before)}"
    yield Change(place, what, breaking=not harmless)


def _enum_changes(place: str, old: Node, new: Node) -> Iterator[Change]:
    before, after = old.get("enum"), new.get("enum")
    if (before is None) != (after is None):
        what = "has a fixed set of values" if after else "lost its set of values"
        yield Change(place, what, breaking=True)
        return
    for value in before or ():
        if value not in (after or ()):
            yield Change(place, f"lost the value {value!r}", breaking=True)
    for value in after or ():
        if value not in (before or ()):
            yield Change(place, f"gained the value {value!r}", breaking=False)


def _property_changes(
    place: str, old: Node, new: Node, direction: Direction
) -> Iterator[Change]:
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in before:
        if name not in after:
            yield Change(f"{place}.{name}", "was removed", breaking=True)
        else:
            yield from schema_changes(
                f"{place}.{name}", before[name], after[name], direction
            )
    for name in after:
        if name not in before:
            needed = name in new.get("required", ())
            what = "is a new required member" if needed else "is a new member"
            # Breaking for answers too: an older backend leaves the member out.
            yield Change(f"{place}.{name}", what, breaking=needed)


def _required_changes(
    place: str, old: Node, new: Node, direction: Direction
) -> Iterator[Change]:
    before, after = set(old.get("required", ())), set(new.get("required", ()))
    known = old.get("properties", {}).keys() & new.get("properties", {}).keys()
    for name in sorted(known & (after - before)):
        # Breaking for answers too: an older backend may leave the member out.
        yield Change(f"{place}.{name}", "was optional, is required", breaking=True)
    for name in sorted(known & (before - after)):
        broken = Direction.RESPONSE in direction
        yield Change(f"{place}.{name}", "was required, is optional", breaking=broken)


def _alternative_changes(
    place: str, old: Node, new: Node, direction: Direction
) -> Iterator[Change]:
    before, after = (
        {json.dumps(_without_words(each), sort_keys=True): each for each in choices}
        for choices in (old.get("anyOf", ()), new.get("anyOf", ()))
    )
    # The first alternatives of a schema replace its other form: that breaks requests.
    widening_breaks = not before or Direction.RESPONSE in direction
    for key, each in before.items():
        if key not in after:
            yield Change(place, f"can no longer be {_kind(each)}", breaking=True)
    for key, each in after.items():
        if key not in before:
            yield Change(place, f"can be {_kind(each)} now", breaking=widening_breaks)


def _closing_changes(
    place: str, old: Node, new: Node, direction: Direction
) -> Iterator[Change]:
    """Yield the changes of a schema's rule for members without a property."""
    before = old.get("additionalProperties", True)
    after = new.get("additionalProperties", True)
    inside = f"{place}.additionalProperties"
    if isinstance(before, dict) and isinstance(after, dict):
        yield from schema_changes(inside, before, after, direction)
    elif before != after:
        what = f"{value_text(after)} instead of {value_text(before)}"
        # Closing removes present members; opening lets an answer contain any value.
        opened = before is False or (after is True and direction == Direction.REQUEST)
        yield Change(inside, f"is {what}", breaking=not opened)


def _limit_change(
    place: str, keyword: str, before: Any, after: Any, direction: Direction
) -> Change:
    what = f"{keyword} is {value_text(after)} instead of {value_text(before)}"
    if keyword in LOWER_LIMITS:
        narrowed = after is not None and (before is None or after > before)
    elif keyword in UPPER_LIMITS:
        narrowed = after is not None and (before is None or after < before)
    elif keyword == "pattern":
        narrowed = after is not None
    else:
        # No rule exists for this keyword: the change counts as breaking.
        return Change(place, what, breaking=True)
    widens = Direction.RESPONSE in direction and keyword in CHECKED_LIMITS
    broken = Direction.REQUEST in direction if narrowed else widens
    return Change(place, what, breaking=broken)


def _as_node(schema: Node | bool) -> Node:
    """Return a schema as a mapping; the schema `false` admits no value."""
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    return schema


def _types(schema: Node) -> frozenset[str]:
    written = schema.get("type", ())
    return frozenset([written] if isinstance(written, str) else written)


def _kind(schema: Node) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    return _listed(_types(schema))


def _listed(types: frozenset[str]) -> str:
    return " or ".join(sorted(types)) or "any value"


def _without_words(schema: Node) -> dict[str, Any]:
    return {key: each for key, each in schema.items() if not is_words(key)}
