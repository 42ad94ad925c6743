"""Changes of the parameters, bodies and answers of one operation."""

from collections.abc import Iterator, Sequence

from scripts.contract.change import Change
from scripts.contract.document import Node
from scripts.contract.schema_changes import (
    Direction,
    deprecation,
    is_words,
    schema_changes,
    value_text,
)

PARAMETER_PARTS = frozenset({"name", "in", "required", "schema", "content"})
BODY_PARTS = frozenset({"content", "required"})
RESPONSE_PARTS = frozenset({"content", "headers", "links"})
"""Members with a rule; `links` is ignored, because the client never follows links."""
MEDIA_PARTS = frozenset({"schema"})


def parameter_changes(
    operation: str, before: Sequence[Node], after: Sequence[Node]
) -> Iterator[Change]:
    """Yield the changes of an operation's parameters."""
    was, now = ({_key(each): each for each in all_} for all_ in (before, after))
    moved = {
        key: other
        for key in was.keys() - now.keys()
        for other in now.keys() - was.keys()
        if key[0].lower() == other[0].lower()
    }
    for key, parameter in was.items():
        place = f"{operation}({parameter['name']})"
        if key in moved:
            what = f"moved from {key[1]} to {moved[key][1]}"
            yield Change(place, what, breaking=True)
        elif key not in now:
            yield Change(place, "was removed", breaking=True)
        else:
            yield from _value_changes(place, parameter, now[key], Direction.REQUEST)
    for key, parameter in now.items():
        if key not in was and key not in moved.values():
            required = parameter.get("required", False)
            what = "is a new required parameter" if required else "is a new parameter"
            yield Change(f"{operation}({parameter['name']})", what, breaking=required)


def body_changes(operation: str, before: Node, after: Node) -> Iterator[Change]:
    """Yield the changes of an operation's request body."""
    place = f"{operation} request"
    was, now = before.get("required", False), after.get("required", False)
    if was != now:
        what = "needs a body now" if now else "needs no body now"
        yield Change(place, what, breaking=now)
    yield from _content_changes(place, before, after, Direction.REQUEST)
    yield from remaining_changes(place, before, after, BODY_PARTS)


def response_changes(
    operation: str, before: dict[str, Node], after: dict[str, Node]
) -> Iterator[Change]:
    """Yield the changes of an operation's answers, by status."""
    for status, response in before.items():
        place = f"{operation} {status}"
        if status not in after:
            yield Change(place, "is no longer answered", breaking=True)
            continue
        now = after[status]
        yield from _content_changes(place, response, now, Direction.RESPONSE)
        yield from _header_changes(place, response, now)
        yield from remaining_changes(place, response, now, RESPONSE_PARTS)
    for status, response in after.items():
        if status not in before:
            place = f"{operation} {status}"
            # Present clients treat a new failure as the `default` answer.
            is_failure = status[0] in "45" and "default" in before
            yield Change(place, "is a new answer", breaking=not is_failure)
            if is_failure:
                usual = before["default"]
                yield from _content_changes(place, usual, response, Direction.RESPONSE)


def remaining_changes(
    place: str, before: Node, after: Node, known: frozenset[str]
) -> Iterator[Change]:
    """Yield the changes of members without a rule; each change counts as breaking."""
    for key in sorted((before.keys() | after.keys()) - known - {"deprecated"}):
        if not is_words(key) and before.get(key) != after.get(key):
            what = f"{key} is {value_text(after.get(key))}"
            what += f" instead of {value_text(before.get(key))}"
            yield Change(place, what, breaking=True)


def _value_changes(
    place: str, before: Node, after: Node, direction: Direction
) -> Iterator[Change]:
    """Yield the changes of a parameter or of a header of an answer."""
    was, now = before.get("required", False), after.get("required", False)
    if was != now:
        broken = now or Direction.RESPONSE in direction
        yield Change(
            place, f"is {'required' if now else 'optional'} now", breaking=broken
        )
    yield from deprecation(place, before, after)
    old, new = before.get("schema", {}), after.get("schema", {})
    yield from schema_changes(place, old, new, direction)
    yield from _content_changes(place, before, after, direction)
    yield from remaining_changes(place, before, after, PARAMETER_PARTS)


def _content_changes(
    place: str, before: Node, after: Node, direction: Direction
) -> Iterator[Change]:
    was, now = before.get("content", {}), after.get("content", {})
    for media_type, media in was.items():
        if media_type not in now:
            yield Change(place, f"has no {media_type} any more", breaking=True)
            continue
        other = now[media_type]
        old, new = media.get("schema", {}), other.get("schema", {})
        yield from schema_changes(place, old, new, direction)
        yield from remaining_changes(place, media, other, MEDIA_PARTS)
    for media_type in now:
        if media_type not in was:
            # Present clients accept any media type: a backend may send the new one.
            broken = Direction.RESPONSE in direction
            yield Change(place, f"can be {media_type}", breaking=broken)


def _header_changes(place: str, before: Node, after: Node) -> Iterator[Change]:
    was, now = (
        {name.lower(): (name, each) for name, each in all_.get("headers", {}).items()}
        for all_ in (before, after)
    )
    for key, (name, header) in was.items():
        inside = f"{place} header {name}"
        if key in now:
            yield from _value_changes(inside, header, now[key][1], Direction.RESPONSE)
        else:
            yield Change(inside, "was removed", breaking=True)
    for key, (name, header) in now.items():
        if key not in was:
            required = header.get("required", False)
            what = "is a new required header" if required else "is a new header"
            yield Change(f"{place} header {name}", what, breaking=required)


def _key(parameter: Node) -> tuple[str, str]:
    name, place = str(parameter["name"]), str(parameter["in"])
    return (name.lower() if place == "header" else name), place
