"""The contract at run time: which operations there are and what they admit.

The checked-in OpenAPI document is the validator: bodies and parameters are held
against its schemas as they are written, and the scope that an operation needs is
read from it. Nothing is refused here for its shape that the document admits, except
what no Python value can hold.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jsonschema_rs import Draft202012Validator

from trackerapi_backend.explanations import explain
from trackerapi_backend.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.requests import Request

    from trackerapi_backend.generated import models

MAX_ERRORS = 20

_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)


@cache
def contract_bytes() -> bytes:
    """Return the contract as it is served, JSON in UTF-8."""
    return files("trackerapi_backend.generated").joinpath("openapi.json").read_bytes()


@cache
def document() -> dict[str, Any]:
    """Return the contract; shared, so not to be changed."""
    contract: dict[str, Any] = json.loads(contract_bytes())
    return contract


@cache
def validator(schema_name: str) -> Draft202012Validator:
    """Return the validator of one of the contract's named schemas."""
    return _validator_of({"$ref": f"#/components/schemas/{schema_name}"})


def _validator_of(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(
        schema | {"components": document()["components"]}, validate_formats=True
    )


def check(held_against: Draft202012Validator, value: object) -> None:
    """Do nothing for a valid value.

    Raises:
        Problem: If the value is not valid; one error for each place.
    """
    try:
        if held_against.is_valid(value):
            return
        errors = _errors(held_against, value)
    except UnicodeEncodeError:
        raise Problem(
            "invalid-request",
            "A text holds half of a surrogate pair, which UTF-8 cannot have.",
        ) from None
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    detail = f"{first['pointer'] or 'The body'} {first['detail']}{more}."
    raise Problem("invalid-request", detail, errors=errors[:MAX_ERRORS])


def _errors(
    held_against: Draft202012Validator, value: object
) -> list[models.ProblemError]:
    """Return what is wrong, one error for each place."""
    errors: dict[str, models.ProblemError] = {}
    for found in held_against.iter_errors(value):
        for error in explain(found, document()):
            errors.setdefault(error["pointer"], error)
    return list(errors.values())


@dataclass(frozen=True, slots=True)
class Parameter:
    """A path or query parameter of an operation."""

    name: str
    place: str
    type: str
    validator: Draft202012Validator

    def read(self, request: Request) -> object | None:
        """Return the parameter's valid value; None where it was not sent.

        Raises:
            Problem: If the value is not valid.
        """
        if self.place == "path":
            return self._checked(
                _number_or_text(self.type, request.path_params[self.name])
            )
        sent = request.query_params.getlist(self.name)
        if not sent:
            return None
        if self.type == "array":
            return self._checked(sent)
        if len(set(sent)) > 1:
            raise self._problem("is given with different values")
        return self._checked(_number_or_text(self.type, sent[0]))

    def _checked(self, value: object) -> object:
        try:
            check(self.validator, value)
        except Problem as problem:
            detail = problem.errors[0]["detail"] if problem.errors else "is not valid"
            raise self._problem(detail) from None
        return value

    def _problem(self, detail: str) -> Problem:
        error: models.ProblemError = {"pointer": self.name, "detail": detail}
        return Problem("invalid-request", f"{self.name} {detail}.", errors=[error])


def _number_or_text(type_name: str, text: str) -> object:
    if type_name == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of the contract.

    Attributes:
        is_public: Whether it needs no key.
        scopes: Scopes that a key needs for it.
        body: Validator of its JSON body; None where it takes none.
    """

    operation_id: str
    method: str
    path: str
    is_public: bool
    scopes: frozenset[str]
    parameters: tuple[Parameter, ...]
    body: Draft202012Validator | None

    def read_parameters(self, request: Request) -> dict[str, Any]:
        """Return the parameters that were sent, by name.

        Raises:
            Problem: If one of them is not valid.
        """
        values = {each.name: each.read(request) for each in self.parameters}
        return {name: value for name, value in values.items() if value is not None}


def operations() -> Iterator[Operation]:
    """Return all operations in the order of the document."""
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
        body=_validator_of(json_body["schema"]) if json_body else None,
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
                _validator_of(schema),
            )
