"""Schemas of the contract: validation of values, and location of errors.

One call validates a whole value. Only an invalid value is searched for errors, level by
level. At each level, a small placeholder without the nested values is validated: the
validator copies a value into each error, and fails on deeply nested values.
"""

from __future__ import annotations

from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from jsonschema_rs import Draft202012Validator

from trackerapi_backend.requests.schema_errors import escape_name, problem_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from trackerapi_backend.generated import models

MAX_ERRORS = 20
RUN_LENGTH = 64
"""Number of items or members that one call of the validator checks.

The overhead of a call exceeds the time to validate a small value."""


class Schema:
    """One schema of the contract.

    Args:
        described: Schema, or reference to a schema.
        contract: Document in which references are resolved.
    """

    def __init__(
        self, described: Mapping[str, Any], contract: Mapping[str, Any]
    ) -> None:
        self._written, self._contract = described, contract
        self._described = resolve_schema(described, contract)

    def is_valid(self, value: object) -> bool:
        """Return whether a value fits the schema.

        Raises:
            UnicodeEncodeError: If a text in the value has half of a surrogate pair.
        """
        return self._whole.is_valid(value)

    def are_valid(self, values: Sequence[object]) -> bool:
        """Return whether all values fit the schema; raise as `is_valid()` does."""
        return self._list.is_valid(values)

    def errors(self, value: object, pointer: str = "") -> Iterator[models.ProblemError]:
        """Yield the errors of an invalid value; errors of outer levels come first.

        Args:
            value: The invalid value.
            pointer: JSON Pointer to the value.

        Raises:
            UnicodeEncodeError: If a text in the value has half of a surrogate pair.
        """
        alternatives = self._described.get("anyOf", ())
        not_null = [each for each in alternatives if each.get("type") != "null"]
        # For a nullable schema, report the errors of the alternative other than null:
        # "fits no alternative" would hide the location of the invalid nested value.
        if len(not_null) == 1:
            yield from self._below(not_null[0]).errors(value, pointer)
            return
        for error in self._level.iter_errors(self._placeholder(value)):
            yield from problem_errors(error, pointer, tuple(self._members))
        for name, schema, child in self._children(value):
            if not schema.is_valid(child):
                yield from schema.errors(child, f"{pointer}/{escape_name(str(name))}")

    @cached_property
    def _whole(self) -> Draft202012Validator:
        components = self._contract["components"]
        return _compile({**self._written, "components": components})

    @cached_property
    def _list(self) -> Draft202012Validator:
        components = self._contract["components"]
        return _compile({"items": self._written, "components": components})

    @cached_property
    def _level(self) -> Draft202012Validator:
        """Validator of one level: the schema without the schemas of members and items.

        Member names stay: unknown and missing members are errors of this level.
        """
        level = {**self._described, "properties": dict.fromkeys(self._members, True)}
        level.pop("items", None)
        if self._other_members is not None:
            del level["additionalProperties"]
        return _compile(level)

    @cached_property
    def _members(self) -> dict[str, Schema]:
        described = self._described.get("properties", {})
        return {name: self._below(schema) for name, schema in described.items()}

    @cached_property
    def _other_members(self) -> Schema | None:
        schema = self._described.get("additionalProperties")
        return self._below(schema) if isinstance(schema, dict) else None

    @cached_property
    def _items(self) -> Schema | None:
        schema = self._described.get("items")
        return None if schema is None else self._below(schema)

    @cached_property
    def _names(self) -> Draft202012Validator:
        return _compile(dict(self._described.get("propertyNames", {})))

    def _below(self, described: Mapping[str, Any]) -> Schema:
        return Schema(described, self._contract)

    def _placeholder(self, value: object) -> object:
        """Return a small value that is valid at this level exactly if `value` is."""
        limit = self._described.get
        match value:
            case dict():
                return dict.fromkeys(self._names_with_errors(value))
            case list():
                enough = limit("maxItems", limit("minItems", 0)) + 1
                return [None] * min(len(value), enough)
            case str():
                return value[: limit("maxLength", len(value)) + 1]
        return value

    def _names_with_errors(self, value: dict[str, Any]) -> Iterator[str]:
        """Yield the names of members that can cause an error of this level."""
        yield from (name for name in self._members if name in value)
        others = (name for name in value if name not in self._members)
        yield from islice(others, self._described.get("maxProperties", MAX_ERRORS) + 1)
        bad = (name for name in value if not self._names.is_valid(name))
        yield from islice(bad, MAX_ERRORS + 1)

    def _children(self, value: object) -> Iterator[tuple[str | int, Schema, Any]]:
        """Yield the nested values that may be invalid, with their names and schemas.

        Values beyond `maxItems` or `maxProperties` are omitted: the exceeded limit is
        itself an error.
        """
        limit = self._described.get
        if isinstance(value, dict):
            for name in self._members:
                if name in value:
                    yield name, self._members[name], value[name]
            members = islice(value.items(), limit("maxProperties"))
            others = (each for each in members if each[0] not in self._members)
            yield from _find_invalid_runs(others, self._other_members)
        elif isinstance(value, list):
            items = enumerate(islice(value, limit("maxItems")))
            yield from _find_invalid_runs(items, self._items)


def _find_invalid_runs(
    named: Iterable[tuple[str | int, Any]], schema: Schema | None
) -> Iterator[tuple[str | int, Schema, Any]]:
    """Yield all values of each run of `RUN_LENGTH` values that has an invalid value."""
    rest = iter(named)
    while schema is not None and (run := list(islice(rest, RUN_LENGTH))):
        if not schema.are_valid([value for _name, value in run]):
            yield from ((name, schema, value) for name, value in run)


def _compile(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(schema, validate_formats=True)


def resolve_schema(
    described: Mapping[str, Any], contract: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the schema behind a `$ref`, or a schema without `$ref` unchanged.

    For a nullable value, return the schema of the values other than null.
    """
    if "$ref" in described:
        _, *path = described["$ref"].split("/")
        schema: Any = contract
        for part in path:
            schema = schema[part]
        return resolve_schema(schema, contract)
    values = [each for each in described.get("anyOf", ()) if each != {"type": "null"}]
    return resolve_schema(values[0], contract) if len(values) == 1 else described
