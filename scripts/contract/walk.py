"""Iteration over all schemas of a contract, with their JSON pointers.

Only the positions of schemas in OpenAPI are followed: a property named `default` or an
example named `title` is therefore never taken for a keyword.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from scripts.contract.document import Contract, Node, pointer

SINGLE = ("items", "additionalProperties", "propertyNames", "not")
LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
NAMED = ("properties", "patternProperties", "$defs")
SCHEMA_PREFIX = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class LocatedSchema:
    """A schema with its location in the contract.

    Attributes:
        pointer: JSON pointer to the schema.
        schema: The schema; references are not followed.
        component: Name of a schema that is a component; None for an inline schema.
    """

    pointer: str
    schema: Node
    component: str | None = None


def all_schemas(contract: Contract) -> Iterator[LocatedSchema]:
    """Yield every schema, named and inline; outer schemas come before inner schemas."""
    for name, schema in contract.schemas.items():
        place = f"#/components/schemas/{name}"
        yield LocatedSchema(place, schema, component=name)
        yield from _inner(schema, place)
    for section in ("parameters", "headers"):
        for name, each in contract.components(section).items():
            yield from _of_parameter(each, f"#/components/{section}/{name}")
    for name, response in contract.components("responses").items():
        yield from _of_response(response, f"#/components/responses/{name}")
    for operation in contract.operations():
        yield from operation_schemas(operation.item, operation.pointer)


def operation_schemas(item: Node, place: str) -> Iterator[LocatedSchema]:
    """Yield the inline schemas of one operation."""
    for index, parameter in enumerate(item.get("parameters", ())):
        yield from _of_parameter(parameter, pointer(place, "parameters", index))
    yield from _of_content(item.get("requestBody", {}), pointer(place, "requestBody"))
    for status, response in item.get("responses", {}).items():
        yield from _of_response(response, pointer(place, "responses", status))


def inner_schemas(schema: Node | bool, place: str) -> Iterator[LocatedSchema]:
    """Yield the schemas directly inside `schema`, one level down."""
    if isinstance(schema, bool):  # `true` admits all values, `false` no value
        return
    for key in SINGLE:
        if isinstance(schema.get(key), dict):
            yield LocatedSchema(pointer(place, key), schema[key])
    for key in LISTED:
        for index, each in enumerate(schema.get(key, ())):
            yield LocatedSchema(pointer(place, key, index), each)
    for key in NAMED:
        for name, each in schema.get(key, {}).items():
            yield LocatedSchema(pointer(place, key, name), each)


def reachable(
    contract: Contract, start: Iterator[LocatedSchema]
) -> dict[str, LocatedSchema]:
    """Return all schemas that are reachable from `start`, by JSON pointer."""
    found: dict[str, LocatedSchema] = {}
    waiting = list(start)
    while waiting:
        place = waiting.pop()
        if place.pointer in found:
            continue
        found[place.pointer] = place
        waiting.extend(inner_schemas(place.schema, place.pointer))
        name = component_name(place.schema)
        if name is not None and name in contract.schemas:
            waiting.append(
                LocatedSchema(
                    f"{SCHEMA_PREFIX}{name}", contract.schemas[name], component=name
                )
            )
    return found


def request_schemas(contract: Contract) -> dict[str, LocatedSchema]:
    """Return every schema of a part of a request, by JSON pointer."""
    places: list[LocatedSchema] = []
    for operation in contract.operations():
        for index, parameter in enumerate(contract.parameters(operation)):
            place = pointer(operation.pointer, "parameters", index)
            places.extend(_of_parameter(parameter, place))
        body = contract.resolve(operation.item.get("requestBody", {}))
        places.extend(_of_content(body, pointer(operation.pointer, "requestBody")))
    return reachable(contract, iter(places))


def response_schemas(contract: Contract) -> dict[str, LocatedSchema]:
    """Return every schema of a part of an answer, by JSON pointer."""
    places: list[LocatedSchema] = []
    for operation in contract.operations():
        for status, response in contract.responses(operation).items():
            place = pointer(operation.pointer, "responses", status)
            places.extend(_of_response(response, place))
    return reachable(contract, iter(places))


def component_name(schema: Node | bool) -> str | None:
    """Return the name of the component that `schema` refers to; None without $ref."""
    reference = "" if isinstance(schema, bool) else str(schema.get("$ref", ""))
    if not reference.startswith(SCHEMA_PREFIX):
        return None
    return reference.removeprefix(SCHEMA_PREFIX)


def _inner(schema: Node, place: str) -> Iterator[LocatedSchema]:
    for inner in inner_schemas(schema, place):
        yield inner
        yield from _inner(inner.schema, inner.pointer)


def _with_inner(schema: Node, place: str) -> Iterator[LocatedSchema]:
    yield LocatedSchema(place, schema)
    yield from _inner(schema, place)


def _of_parameter(parameter: Node, place: str) -> Iterator[LocatedSchema]:
    if "schema" in parameter:
        yield from _with_inner(parameter["schema"], pointer(place, "schema"))
    yield from _of_content(parameter, place)


def _of_content(holder: Node, place: str) -> Iterator[LocatedSchema]:
    for media_type, media in holder.get("content", {}).items():
        if "schema" in media:
            inside = pointer(place, "content", media_type, "schema")
            yield from _with_inner(media["schema"], inside)


def _of_response(response: Node, place: str) -> Iterator[LocatedSchema]:
    yield from _of_content(response, place)
    for name, header in response.get("headers", {}).items():
        yield from _of_parameter(header, pointer(place, "headers", name))
