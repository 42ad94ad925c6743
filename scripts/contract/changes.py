"""Changes between two contracts, and whether each change breaks present clients.

Compares the parts on which requests, answers and the generated client depend.
Descriptions and examples are ignored, and so are the hosts of servers, since each job
script sets the address of its backend. Each named schema is compared once, by the
directions in which operations use it: a wider answer may break a reader, a narrower
request may break a caller. A difference without a rule counts as breaking.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from scripts.contract.change import Change
from scripts.contract.document import Contract, Operation
from scripts.contract.exchange_changes import (
    body_changes,
    parameter_changes,
    remaining_changes,
    response_changes,
)
from scripts.contract.schema_changes import Direction, deprecation, schema_changes
from scripts.contract.walk import LocatedSchema, request_schemas, response_schemas

PUBLIC = frozenset[str]()
DOCUMENT_PARTS = frozenset(
    {"openapi", "info", "servers", "tags", "paths", "components", "security"}
)
OPERATION_PARTS = frozenset(
    {"operationId", "tags", "security", "parameters", "requestBody", "responses"}
)


def compare(old: Contract, new: Contract) -> list[Change]:
    """Return every change from `old` to `new`, in the order of the contract."""
    return [
        *_server_changes(old, new),
        *remaining_changes("contract", old.document, new.document, DOCUMENT_PARTS),
        *_security_scheme_changes(old, new),
        *_operation_set_changes(old, new),
        *_named_schema_changes(old, new),
    ]


def _server_changes(old: Contract, new: Contract) -> Iterator[Change]:
    was, now = (
        # Without `servers`, OpenAPI means the address that serves the contract.
        {urlsplit(each.get("url", "")).path.rstrip("/") for each in servers}
        for servers in (
            contract.document.get("servers") or [{}] for contract in (old, new)
        )
    )
    if was != now:
        paths = " or ".join(sorted(path or "/" for path in now))
        yield Change("servers", f"paths begin at {paths} now", breaking=True)


def _security_scheme_changes(old: Contract, new: Contract) -> Iterator[Change]:
    before, after = (
        {
            name: {key: each for key, each in scheme.items() if key != "description"}
            for name, scheme in contract.components("securitySchemes").items()
        }
        for contract in (old, new)
    )
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            text = "is a different security scheme now"
            if name not in before or name not in after:
                text = "was added" if name in after else "was removed"
            yield Change(name, text, breaking=name in before)


def _operation_set_changes(old: Contract, new: Contract) -> Iterator[Change]:
    before = {each.operation_id: each for each in old.operations()}
    after = {each.operation_id: each for each in new.operations()}
    for name, operation in before.items():
        if name not in after:
            yield Change(name, "was removed", breaking=True)
        else:
            yield from _operation_changes(old, new, operation, after[name])
    for name in after:
        if name not in before:
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
    yield from deprecation(name, before.item, after.item)
    yield from _security_changes(
        name, _security_alternatives(old, before), _security_alternatives(new, after)
    )
    yield from parameter_changes(name, old.parameters(before), new.parameters(after))
    yield from body_changes(
        name,
        old.resolve(before.item.get("requestBody", {})),
        new.resolve(after.item.get("requestBody", {})),
    )
    yield from response_changes(name, old.responses(before), new.responses(after))
    yield from remaining_changes(name, before.item, after.item, OPERATION_PARTS)


def _security_changes(
    name: str, before: set[frozenset[str]], after: set[frozenset[str]]
) -> Iterator[Change]:
    if before == after:
        return
    asked = " or ".join(sorted(" and ".join(sorted(each)) for each in after if each))
    if PUBLIC in after:
        asked = f"{asked} or nothing".removeprefix(" or ")
    # Not breaking: each old alternative, or a part of it, is still accepted.
    is_open = all(any(now <= was for now in after) for was in before)
    yield Change(name, f"asks for {asked} now", breaking=not is_open)


def _security_alternatives(
    contract: Contract, operation: Operation
) -> set[frozenset[str]]:
    """Return the alternatives of `security`, each as a set of schemes and scopes."""
    written = operation.item.get("security", contract.document.get("security"))
    return {
        frozenset(
            " ".join((scheme, *scope))
            for scheme, scopes in alternative.items()
            for scope in ((), *((each,) for each in scopes))
        )
        for alternative in written or [{}]
    }


def _named_schema_changes(old: Contract, new: Contract) -> Iterator[Change]:
    used = _directions(old)
    for name, schema in old.schemas.items():
        if name not in used:
            continue
        if name not in new.schemas:
            yield Change(name, "was removed", breaking=True)
        else:
            yield from schema_changes(name, schema, new.schemas[name], used[name])
    for name in new.schemas:
        if name not in old.schemas:
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


def _names(places: dict[str, LocatedSchema]) -> Iterator[str]:
    return (place.component for place in places.values() if place.component)
