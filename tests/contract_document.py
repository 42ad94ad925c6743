"""The contract, as tests read it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import yaml

ROOT: Final = Path(__file__).resolve().parent.parent
CONTRACT: Final[dict[str, Any]] = yaml.safe_load(
    (ROOT / "openapi/tracker-backend.yaml").read_text()
)
SCHEMAS: Final[dict[str, Any]] = CONTRACT["components"]["schemas"]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the contract.

    Attributes:
        key: Method and path without the names of parameters: `GET /jobs/{}`.
        tag: Group that it stands in.
        answers: Names of the schemas that it answers with when all is well.
    """

    operation_id: str
    key: str
    tag: str
    answers: frozenset[str]


def validator(schema: str) -> jsonschema_rs.Draft202012Validator:
    """Return what checks a value against a named schema, formats included."""
    document = {
        "$ref": f"#/components/schemas/{schema}",
        "components": {"schemas": SCHEMAS},
    }
    return jsonschema_rs.Draft202012Validator(document, validate_formats=True)


def operations() -> Iterator[Operation]:
    """Walk the operations of the contract."""
    for path, methods in CONTRACT["paths"].items():
        plain = "/".join("{}" if p.startswith("{") else p for p in path.split("/"))
        for method, operation in methods.items():
            answers = {
                answer["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
                for status, answer in operation["responses"].items()
                if status.startswith("2")
            }
            yield Operation(
                operation["operationId"],
                f"{method.upper()} {plain}",
                operation["tags"][0],
                frozenset(answers),
            )
