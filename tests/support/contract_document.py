"""Contract as parsed YAML: schemas, operations, validators."""

import re
from dataclasses import dataclass
from typing import Any, Final

import jsonschema_rs
import yaml

from scripts.project import ROOT

CONTRACT: Final[dict[str, Any]] = yaml.safe_load(
    (ROOT / "openapi/tracker-backend.yaml").read_text()
)
SCHEMAS: Final[dict[str, Any]] = CONTRACT["components"]["schemas"]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the contract.

    Attributes:
        key: Method and path without the names of parameters: `GET /jobs/{}`.
        tag: Tag (group) of the operation.
        answers: Names of the schemas of the answers with status 2xx.
    """

    operation_id: str
    key: str
    tag: str
    answers: frozenset[str]


def validator(schema: str) -> jsonschema_rs.Draft202012Validator:
    """Return a validator of a named schema that checks formats too."""
    document = {
        "$ref": f"#/components/schemas/{schema}",
        "components": {"schemas": SCHEMAS},
    }
    return jsonschema_rs.Draft202012Validator(document, validate_formats=True)


def operations() -> list[Operation]:
    """Return the operations of the contract in its order."""
    return [
        _operation(method, path, operation)
        for path, methods in CONTRACT["paths"].items()
        for method, operation in methods.items()
    ]


def _operation(method: str, path: str, operation: dict[str, Any]) -> Operation:
    answers = {
        media["schema"]["$ref"].rpartition("/")[2]
        for status, answer in operation["responses"].items()
        if status.startswith("2")
        for media in answer["content"].values()
    }
    return Operation(
        operation_id=operation["operationId"],
        key=f"{method.upper()} {re.sub(r'{[^}]+}', '{}', path)}",
        tag=operation["tags"][0],
        answers=frozenset(answers),
    )
