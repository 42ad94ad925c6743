"""What changed between two contracts, and whether it breaks a client of today.

Compares what the wire and the generated client depend on; descriptions, examples
and addresses are words. Each named schema is compared once, under the directions
in which operations use it: what widens an answer may break a reader, what narrows
a request may break a caller.
"""

from collections.abc import Iterator
from typing import Any

from scripts.contract.change import Change
from scripts.contract.document import Contract, Node, Operation
from scripts.contract.schema_changes import Direction, schema_changes
from scripts.contract.walk import Place, request_schemas, response_schemas


def compare(old: Contract, new: Contract) -> list[Change]:
    """Return every change from `old` to `new`, in the order of the contract."""
    return [
        *_scheme_changes(old, new),
        *_operation_set_changes(old, new),
        *_named_schema_changes(old, new),
    ]


def _scheme_changes(old: Contract, new: Contract) -> Iterator[Change]:
    before, after = (
        {
            name: {key: each for key, each in scheme.items() if key != "description"}
            for name, scheme in contract.components("securitySchemes").items()
        }
        for contract in (old, new)
    )
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield Change(name, "is another kind of proof", breaking=name in before)


def _operation_set_changes(old: Contract, new: Contract) -> Iterator[Change]:
    before = {each.operation_id: each for each in old.operations()}
    after = {each.operation_id: each for each in new.operations()}
    for name, operation in before.items():
        if name not in after:
            yield Change(name, "was removed", breaking=True)
        else:
            yield from _operation_changes(old, new, operation, after[name])
    for name in _added(before, after):
        yield Change(name, "is a new operation", breaking=False)


def _operation_changes(
    old: Contract, new: Contract, before: Operation, after: Operation
) -> Iterator[Change]:
    name = before.operation_id
    was, now = (f"{each.method.upper()} {each.path}" for each in (before, after))
    if was != now:
        yield Change(name, f"moved from {was} to {now}", breaking=True)
    if before.item.get("tags") != after.item.get("tags"):
        yield Change(name, "moved to another module of the client", breaking=True)
    yield from _scope_changes(name, before, after)
    yield from _parameter_changes(name, _by_name(old, before), _by_name(new, after))
    yield from _body_changes(
        name,
        old.resolve(before.item.get("requestBody", {})),
        new.resolve(after.item.get("requestBody", {})),
    )
    yield from _response_changes(name, old.responses(before), new.responses(after))


def _scope_changes(name: str, before: Operation, after: Operation) -> Iterator[Change]:
    was, now = _proofs(before), _proofs(after)
    if was != now:
        asked = ", ".join(sorted(now)) or "nothing"
        yield Change(name, f"asks for {asked} now", breaking=bool(now - was))


def _parameter_changes(
    operation: str, before: dict[str, Node], after: dict[str, Node]
) -> Iterator[Change]:
    for name, parameter in before.items():
        place = f"{operation}({name})"
        if name not in after:
            yield Change(place, "was removed", breaking=True)
            continue
        now = after[name]
        if parameter.get("required", False) != now.get("required", False):
            required = now.get("required", False)
            what = "is required now" if required else "is optional now"
            yield Change(place, what, breaking=required)
        yield from schema_changes(
            place, parameter.get("schema", {}), now.get("schema", {}), Direction.REQUEST
        )
    for name, parameter in after.items():
        if name not in before:
            required = parameter.get("required", False)
            what = "is a new required parameter" if required else "is a new parameter"
            yield Change(f"{operation}({name})", what, breaking=required)


def _body_changes(operation: str, before: Node, after: Node) -> Iterator[Change]:
    place = f"{operation} request"
    was, now = before.get("content", {}), after.get("content", {})
    if after.get("required", False) and not before.get("required", False):
        yield Change(place, "needs a body now", breaking=True)
    yield from _content_changes(place, was, now, Direction.REQUEST)


def _response_changes(
    operation: str, before: dict[str, Node], after: dict[str, Node]
) -> Iterator[Change]:
    for status, response in before.items():
        place = f"{operation} {status}"
        if status not in after:
            yield Change(place, "is no longer answered", breaking=True)
            continue
        was, now = response.get("content", {}), after[status].get("content", {})
        yield from _content_changes(place, was, now, Direction.RESPONSE)
    for status in _added(before, after):
        yield Change(f"{operation} {status}", "is a new answer", breaking=False)


def _content_changes(
    place: str, before: Node, after: Node, direction: Direction
) -> Iterator[Change]:
    for media_type, media in before.items():
        if media_type not in after:
            yield Change(place, f"has no {media_type} any more", breaking=True)
            continue
        was, now = media.get("schema", {}), after[media_type].get("schema", {})
        yield from schema_changes(place, was, now, direction)
    for media_type in _added(before, after):
        yield Change(place, f"can be {media_type}", breaking=False)


def _named_schema_changes(old: Contract, new: Contract) -> Iterator[Change]:
    used = _directions(old)
    for name, schema in old.schemas.items():
        if name not in used:
            continue
        if name not in new.schemas:
            yield Change(name, "was removed", breaking=True)
        else:
            yield from schema_changes(name, schema, new.schemas[name], used[name])
    for name in _added(old.schemas, new.schemas):
        yield Change(name, "is a new schema", breaking=False)


def _directions(contract: Contract) -> dict[str, Direction]:
    used: dict[str, Direction] = {}
    for direction, places in (
        (Direction.REQUEST, request_schemas(contract)),
        (Direction.RESPONSE, response_schemas(contract)),
    ):
        for name in _names(places):
            used[name] = used.get(name, direction) | direction
    return used


def _proofs(operation: Operation) -> set[str]:
    return {
        " ".join((scheme, *scope))
        for alternative in operation.item.get("security", ())
        for scheme, scopes in alternative.items()
        for scope in ((), *((each,) for each in scopes))
    }


def _added(before: Node, after: Node) -> list[str]:
    return [name for name in after if name not in before]


def _names(places: dict[str, Place]) -> Iterator[str]:
    return (place.component for place in places.values() if place.component)


def _by_name(contract: Contract, operation: Operation) -> dict[str, Any]:
    return {each["name"]: each for each in contract.parameters(operation)}
