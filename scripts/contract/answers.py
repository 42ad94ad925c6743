"""Compiler of all answer schemas into the module `trackerapi_client.answers`.

The library checks answers with that module: the generated models check neither types
nor ranges, and an installed client has no YAML reader for the contract itself.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from scripts.contract.document import Contract, Node
from scripts.contract.walk import component_name

_KEPT: Final = ("type", "format", "minimum", "maximum", "required")
_HEADER: Final = '''\
"""Answers of each operation, compiled by scripts/regenerate.sh; never edited.

Schemas are reduced to what a reader depends on: types, formats, ranges and members.
Sets of values are left open, since a later backend may know more of them.
"""

from typing import Any, Final

'''


def answers_module(contract: Contract) -> str:
    """Return the unformatted text of the module."""
    operations: dict[str, dict[int, str]] = {
        f"{each.method.upper()} {re.sub(r'{[^}]+}', '{}', each.path)}": dict(
            _answers(contract.responses(each))
        )
        for each in contract.operations()
    }
    schemas: dict[str, Any] = {}
    waiting = ["Problem"]
    for answers in operations.values():
        waiting += answers.values()
    while waiting:
        name = waiting.pop()
        if name not in schemas:
            schemas[name] = _reduced(contract, contract.schemas[name])
            waiting += _references(schemas[name])
    in_order = {name: schemas[name] for name in contract.schemas if name in schemas}
    return (
        f"{_HEADER}OPERATIONS: Final[dict[str, dict[int, str]]] = {operations!r}\n\n"
        f"SCHEMAS: Final[dict[str, dict[str, Any]]] = {in_order!r}\n"
    )


def _answers(responses: dict[str, Node]) -> Iterator[tuple[int, str]]:
    for status, response in responses.items():
        if status.startswith("2"):
            # The schema of a stream is that of the data of each message.
            [media] = response["content"].values()
            yield int(status), str(component_name(media["schema"]))


def _reduced(contract: Contract, schema: Node) -> dict[str, Any]:
    name = component_name(schema)
    if name:
        target = contract.schemas[name]
        if "properties" in target:
            return {"$ref": name}
        return _reduced(contract, target)
    choices: list[dict[str, Any]] = []
    for each in schema.get("anyOf", ()):
        choice = _reduced(contract, each)
        # An open set of values is `anyOf` of an enum and its type: keep one of them.
        if choice not in choices:
            choices.append(choice)
    if choices:
        return choices[0] if len(choices) == 1 else {"anyOf": choices}
    reduced = {key: schema[key] for key in _KEPT if key in schema}
    return reduced | _inner(contract, schema)


def _inner(contract: Contract, schema: Node) -> dict[str, Any]:
    """Return the reduced schemas of members, items and other members."""
    inner: dict[str, Any] = {}
    if "properties" in schema:
        inner["properties"] = {
            name: _reduced(contract, each)
            for name, each in schema["properties"].items()
        }
    if "items" in schema:
        inner["items"] = _reduced(contract, schema["items"])
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        values = _reduced(contract, others)
        # Values of any type, such as metadata, have nothing to check.
        if values.keys() & {"$ref", "type"}:
            inner["additionalProperties"] = values
    return inner


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for each in schema.values():
            yield from _references(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _references(each)
