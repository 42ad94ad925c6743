"""Operations of the contract, with validation of their parameters and bodies.

The schemas of the checked-in OpenAPI document validate bodies and parameters without
any changes, and the document names the scopes of each operation. A value that fits its
schema is rejected only if Python cannot represent the value.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from trackerapi_backend.problems import Problem
from trackerapi_backend.requests.schemas import MAX_ERRORS, Schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.requests import Request

    from trackerapi_backend.generated import models

_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_BOOLEANS = {"true": True, "false": False}


@cache
def contract_bytes() -> bytes:
    """Return the bytes of the served contract: JSON in UTF-8."""
    return files("trackerapi_backend.generated").joinpath("openapi.json").read_bytes()


@cache
def document() -> dict[str, Any]:
    """Return the contract. Callers share the document and must not change it."""
    contract: dict[str, Any] = json.loads(contract_bytes())
    return contract


@cache
def named_schema(schema_name: str) -> Schema:
    """Return a schema of the contract by its name."""
    return _schema({"$ref": f"#/components/schemas/{schema_name}"})


def _schema(described: Mapping[str, Any]) -> Schema:
    return Schema(described, document())


def check(schema: Schema, value: object, *, max_errors: int = MAX_ERRORS) -> None:
    """Check that a value fits a schema.

    Args:
        schema: Schema of the value.
        value: Any JSON value.
        max_errors: Maximum number of errors in the problem, one for each location.

    Raises:
        Problem: If the value is not valid.
    """
    try:
        if schema.is_valid(value):
            return
        errors = _errors(schema, value, max_errors)
    except UnicodeEncodeError:
        raise Problem(
            "invalid-request",
            "A text has half of a surrogate pair, which UTF-8 cannot represent.",
        ) from None
    first, more = errors[0], len(errors) - 1
    at_least = "at least " if len(errors) > max_errors else ""
    others = f" (and {at_least}{more} more)" if more else ""
    detail = f"{first['pointer'] or 'The body'} {first['detail']}{others}."
    raise Problem("invalid-request", detail, errors=errors[:max_errors])


def _errors(
    schema: Schema, value: object, max_errors: int
) -> list[models.ProblemError]:
    """Return the first errors, one for each location.

    The list has `max_errors` + 1 errors if the value has more than `max_errors`.
    """
    errors: dict[str, models.ProblemError] = {}
    for error in schema.errors(value):
        errors.setdefault(error["pointer"], error)
        if len(errors) > max_errors:
            break
    return list(errors.values())


@dataclass(frozen=True, slots=True)
class Parameter:
    """A path or query parameter of an operation.

    Attributes:
        location: `path` or `query`.
        type: Type of the value in the schema, such as `integer`.
    """

    name: str
    location: str
    type: str
    schema: Schema

    def read(self, request: Request) -> object | None:
        """Return the valid value of the parameter; None if it was not sent.

        Raises:
            Problem: If the value is not valid.
        """
        if self.location == "path":
            return self._check_value(
                _value_of(self.type, request.path_params[self.name])
            )
        sent = request.query_params.getlist(self.name)
        if not sent:
            return None
        if self.type == "array":
            return self._check_value(sent)
        if len(set(sent)) > 1:
            raise self._problem("is given with different values")
        return self._check_value(_value_of(self.type, sent[0]))

    def _check_value(self, value: object) -> object:
        # PostgreSQL cannot compare a text with NUL, and no stored text has one.
        if "\0" in (value if isinstance(value, list | str) else ""):
            raise self._problem("must not contain NUL")
        try:
            check(self.schema, value)
        except Problem as problem:
            detail = problem.errors[0]["detail"] if problem.errors else "is not valid"
            raise self._problem(detail) from None
        return value

    def _problem(self, detail: str) -> Problem:
        error: models.ProblemError = {"pointer": self.name, "detail": detail}
        return Problem("invalid-request", f"{self.name} {detail}.", errors=[error])


def _value_of(type_name: str, text: str) -> object:
    """Return the value of an integer or boolean; return any other text unchanged."""
    if type_name == "boolean":
        return _BOOLEANS.get(text, text)
    if type_name == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of the contract.

    Attributes:
        is_public: Whether a request needs no key.
        scopes: Scopes that the key of a request needs.
        body: Schema of the JSON body; None for an operation without a JSON body.
    """

    operation_id: str
    method: str
    path: str
    is_public: bool
    scopes: frozenset[str]
    parameters: tuple[Parameter, ...]
    body: Schema | None

    def read_parameters(self, request: Request) -> dict[str, Any]:
        """Return the values of the sent parameters, by name.

        Raises:
            Problem: If a parameter is not valid.
        """
        values = {each.name: each.read(request) for each in self.parameters}
        return {name: value for name, value in values.items() if value is not None}


def operations() -> Iterator[Operation]:
    """Yield all operations in the order of the document."""
    for path, methods in document()["paths"].items():
        for method, described in methods.items():
            yield _operation(method.upper(), path, described)


def _operation(method: str, path: str, described: Mapping[str, Any]) -> Operation:
    security = described["security"]
    media = described.get("requestBody", {}).get("content", {})
    json_body = media.get("application/json")
    return Operation(
        operation_id=described["operationId"],
        method=method,
        path=path,
        is_public=not security,
        scopes=frozenset(scope for each in security for scope in each["api_key"]),
        parameters=tuple(_parameters(described.get("parameters", ()))),
        body=_schema(json_body["schema"]) if json_body else None,
    )


def _parameters(described: Any) -> Iterator[Parameter]:
    for entry in described:
        name = entry.get("$ref", "").removeprefix("#/components/parameters/")
        parameter = document()["components"]["parameters"][name] if name else entry
        if parameter["in"] in ("path", "query"):
            schema = parameter["schema"]
            yield Parameter(
                parameter["name"],
                parameter["in"],
                schema["type"],
                _schema(schema),
            )
