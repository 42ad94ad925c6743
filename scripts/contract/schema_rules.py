"""Rules of the dialect about schemas.

Each rule finds a construct that the client's generator drops, invents or compiles
wrongly without a warning. The docstring of the rule describes the effect.
"""

import re
from collections.abc import Iterator

from scripts.contract.document import Contract, Node
from scripts.contract.finding import Finding
from scripts.contract.walk import (
    all_schemas,
    component_name,
    inner_schemas,
    response_schemas,
)

RESERVED_NAMES = frozenset(
    {
        "additional_properties",
        "cls",
        "d",
        "field_dict",
        "from_dict",
        "self",
        "src_dict",
        "to_dict",
    }
)
FORMATS = frozenset({"binary", "date-time", "int64", "uuid"})
SNAKE_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
REFERENCE = re.compile(
    r"#/components/(schemas|parameters|responses|headers)/[A-Za-z0-9]+"
)


def property_names(contract: Contract) -> Iterator[Finding]:
    """A name that the class uses breaks it; a name not in snake_case is renamed."""
    for place in all_schemas(contract):
        own_name = snake_name(place.component or "")
        for name in place.schema.get("properties", {}):
            where = f"{place.pointer}/properties/{name}"
            if name in RESERVED_NAMES or name == own_name:
                yield Finding(where, f"{name!r} is taken by the class", "rename it")
            elif not SNAKE_NAME.fullmatch(name):
                yield Finding(where, "would be mangled", "use a snake_case name")


def defaults(contract: Contract) -> Iterator[Finding]:
    """A default beside $ref is lost; any other default becomes part of every call."""
    for place in all_schemas(contract):
        if "default" in place.schema:
            fix = "say it in the description and apply it in the backend"
            yield Finding(place.pointer, "has a default", fix)


def nullable_enums(contract: Contract) -> Iterator[Finding]:
    """A null in an enum makes three copies of the class; `nullable` is ignored."""
    for place in all_schemas(contract):
        if None in place.schema.get("enum", ()) or "nullable" in place.schema:
            fix = 'use anyOf: [{$ref: ...}, {type: "null"}]'
            yield Finding(place.pointer, "is a nullable value set", fix)


def open_answers(contract: Contract) -> Iterator[Finding]:
    """A closed enum in an answer makes present clients fail on a new value."""
    places = response_schemas(contract)
    for place in places.values():
        opened = any(
            each.get("type") == "string" for each in place.schema.get("anyOf", ())
        )
        for inner in inner_schemas(place.schema, place.pointer):
            in_any_of = inner.pointer.startswith(f"{place.pointer}/anyOf/")
            if _is_enum(contract, inner.schema) and not (opened and in_any_of):
                fix = "refer to an anyOf of the enum and `type: string`"
                yield Finding(inner.pointer, "is a closed enum in an answer", fix)


def inline_models(contract: Contract) -> Iterator[Finding]:
    """The generator invents names for objects and enums without a name."""
    for place in all_schemas(contract):
        model = {"properties", "enum"} & place.schema.keys()
        if place.component is None and (model or _is_object(place.schema)):
            fix = "move it to components/schemas and refer to it"
            yield Finding(place.pointer, "is a model without a name", fix)


def titles(contract: Contract) -> Iterator[Finding]:
    """A title renames the class and its module."""
    for place in all_schemas(contract):
        if "title" in place.schema:
            yield Finding(place.pointer, "has a title", "use the description")


def closed_objects(contract: Contract) -> Iterator[Finding]:
    """Without additionalProperties, the class accepts any additional member."""
    for place in all_schemas(contract):
        if _is_object(place.schema) and "additionalProperties" not in place.schema:
            fix = "say additionalProperties: false, or true where it is meant"
            yield Finding(place.pointer, "does not say whether it is open", fix)


def required_members(contract: Contract) -> Iterator[Finding]:
    """The generator ignores a required name without a property."""
    for place in all_schemas(contract):
        missing = set(place.schema.get("required", ())) - set(
            place.schema.get("properties", ())
        )
        for name in sorted(missing):
            fix = "add the property or drop the name"
            yield Finding(place.pointer, f"requires {name!r} but lacks it", fix)


def alternatives(contract: Contract) -> Iterator[Finding]:
    """The client tries alternatives in order, and ignores a discriminator."""
    for place in all_schemas(contract):
        for keyword in ("discriminator", "oneOf", "not"):
            if keyword in place.schema:
                fix = "use anyOf, or one schema"
                yield Finding(place.pointer, f"uses {keyword}", fix)


def references(contract: Contract) -> Iterator[Finding]:
    """Find references out of the document or into a schema: they fail to compile."""
    for place in all_schemas(contract):
        reference = str(place.schema.get("$ref", "#/components/schemas/None"))
        if "$defs" in place.schema or not REFERENCE.fullmatch(reference):
            fix = "refer to a named component of this document"
            yield Finding(place.pointer, "uses $defs or a reference elsewhere", fix)


def references_stand_alone(contract: Contract) -> Iterator[Finding]:
    """Keywords beside $ref are lost."""
    for place in all_schemas(contract):
        beside = sorted(place.schema.keys() - {"$ref", "description", "default"})
        if "$ref" in place.schema and beside:
            fix = "put them into the component"
            yield Finding(place.pointer, f"has {', '.join(beside)} beside $ref", fix)


def formats(contract: Contract) -> Iterator[Finding]:
    """The generator ignores all formats outside `FORMATS`."""
    for place in all_schemas(contract):
        written = place.schema.get("format")
        if written is not None and written not in FORMATS:
            fix = f"use one of {', '.join(sorted(FORMATS))}, or a pattern"
            yield Finding(place.pointer, f"has the format {written!r}", fix)


def directions(contract: Contract) -> Iterator[Finding]:
    """A required readOnly member is required from the caller too."""
    for place in all_schemas(contract):
        for keyword in ("readOnly", "writeOnly"):
            if keyword in place.schema:
                fix = "give requests and answers their own schemas"
                yield Finding(place.pointer, f"uses {keyword}", fix)


SCHEMA_RULES = (
    property_names,
    defaults,
    nullable_enums,
    open_answers,
    inline_models,
    titles,
    closed_objects,
    required_members,
    alternatives,
    references,
    references_stand_alone,
    formats,
    directions,
)


def snake_name(class_name: str) -> str:
    """Return the snake_case name of a schema, as the generator makes it."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", class_name).lower()


def _is_object(schema: Node) -> bool:
    return schema.get("type") == "object"


def _is_enum(contract: Contract, schema: Node) -> bool:
    name = component_name(schema)
    return name is not None and "enum" in contract.schemas.get(name, {})
