"""Sample values that the schemas of the contract admit.

The same schema always gives the same value, with all members or with the required
members only.
"""

import importlib
import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from scripts.contract.document import Contract, Node, Operation
from scripts.contract.schema_rules import snake_name
from scripts.contract.walk import component_name

TEXTS = ("a b", "1.0.0", "c1f", "abc", "gzip", "+49 30", "a@b.example", "#0c6a60")
FORMATTED = {
    "binary": "{}\n",
    "date-time": "2026-11-24T01:00:00+00:00",
    "uuid": "019ab4c2-7a10-7c3e-9d55-0f6a3b1c2d3e",
}


def sample(contract: Contract, schema: Node, *, full: bool) -> Any:
    """Return a value that `schema` admits.

    Args:
        contract: Contract that contains the referenced schemas.
        schema: Schema of the value.
        full: Whether the value has the optional members too.
    """
    schema = contract.resolve(schema)
    if "anyOf" in schema:
        return sample(contract, schema["anyOf"][0], full=full)
    if "enum" in schema:
        return schema["enum"][0]
    written = schema["type"]
    kind = written if isinstance(written, str) else written[0]
    if kind == "object":
        required = schema.get("required", ())
        return {
            name: sample(contract, each, full=full)
            for name, each in schema.get("properties", {}).items()
            if full or name in required
        }
    if kind == "array":
        return [sample(contract, schema["items"], full=full)]
    if kind == "string":
        return _text(schema)
    plain = {"integer": schema.get("minimum", 0), "number": 0.5, "boolean": True}
    return plain[kind]


def _text(schema: Node) -> str:
    if schema.get("format") in FORMATTED:
        return FORMATTED[schema["format"]]
    pattern = schema.get("pattern", "")
    return next(text for text in TEXTS if re.search(pattern, text))


def schema_errors(contract: Contract, schema: Node, value: object) -> list[str]:
    """Return the violations of `schema` in `value`, each with its location."""
    whole = {**schema, "components": contract.document["components"]}
    validator = Draft202012Validator(whole, format_checker=FormatChecker())
    return [
        f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)
    ]


def model_of(name: str) -> Any:
    """Return the generated class of a named schema."""
    module = importlib.import_module(f"trackerapi_client.models.{snake_name(name)}")
    return getattr(module, name)


def generated_operations(contract: Contract) -> list[Operation]:
    """Return the operations with a generated module: all but streams."""
    return [each for each in contract.operations() if not contract.is_stream(each)]


def endpoint_of(operation: Operation) -> Any:
    """Return the generated module of an operation."""
    folder = operation.item["tags"][0].replace("-", "_")
    return importlib.import_module(
        f"trackerapi_client.api.{folder}.{operation.operation_id}"
    )


def success(contract: Contract, operation: Operation) -> tuple[int, Node]:
    """Return the first documented success of an operation and its schema."""
    for status, response in contract.responses(operation).items():
        if status.startswith("2"):
            return int(status), response["content"]["application/json"]["schema"]
    raise AssertionError(f"{operation.operation_id} documents no success")


def component_examples(contract: Contract) -> Iterator[tuple[str, str, Any]]:
    """Yield each example of a body: its title, the schema's name, the value."""
    for operation in contract.operations():
        bodies = {"request": contract.resolve(operation.item.get("requestBody", {}))}
        for where, holder in {**bodies, **contract.responses(operation)}.items():
            for media in holder.get("content", {}).values():
                schema = component_name(media["schema"])
                for name, example in media.get("examples", {}).items():
                    title = f"{operation.operation_id}-{where}-{name}"
                    assert schema, f"{title} is an example without a named schema"
                    yield title, schema, example["value"]
