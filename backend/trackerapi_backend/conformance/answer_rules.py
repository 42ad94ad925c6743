"""Rules of the contract for every response: status, media type, schema of the body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trackerapi_backend.conformance.expectations import Mismatch
from trackerapi_backend.requests.contract import document
from trackerapi_backend.requests.schemas import Schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trackerapi_backend.conformance.exchange import Answer

PROBLEM_MEDIA_TYPE = "application/problem+json"
PROBLEM_URN = "urn:trackerapi:problem:"


class AnswerRules:
    """Checks of responses against the contract.

    Members that the contract does not name are allowed: a later backend may add
    members.
    """

    def __init__(self) -> None:
        self._contract = _open_to_new_members(document())
        self._schemas: dict[str, Schema] = {}

    def check(self, described: Mapping[str, Any], answer: Answer) -> None:
        """Check a response.

        Args:
            described: Operation object of the contract.
            answer: Response to a request of the operation.

        Raises:
            Mismatch: If the contract does not allow the response.
        """
        if answer.status >= 400:
            self._check_problem(answer)
            return
        successes = {
            status: response
            for status, response in described["responses"].items()
            if status.startswith("2")
        }
        response = successes.get(str(answer.status))
        if response is None:
            expected = f"{' or '.join(successes)}, or a problem"
            raise Mismatch(f"status of {answer.request}", expected, answer.status)
        if response.get("content"):
            [(media_type, content)] = response["content"].items()
            _check_media_type(answer, media_type)
            self._check_schema(answer, content["schema"])

    def _check_problem(self, answer: Answer) -> None:
        _check_media_type(answer, PROBLEM_MEDIA_TYPE)
        self._check_schema(answer, {"$ref": "#/components/schemas/Problem"})
        problem, what = answer.json(), f"problem of {answer.request}"
        for name, expected in (
            ("status", answer.status),
            ("request_id", answer.headers.get("x-request-id", "no X-Request-Id")),
        ):
            if problem[name] != expected:
                raise Mismatch(f"{name} of the {what}", expected, problem[name])
        for name in ("title", "detail"):
            if not problem[name].strip():
                raise Mismatch(f"{name} of the {what}", "a text", problem[name])
        if not problem["type"].startswith(PROBLEM_URN):
            raise Mismatch(f"type of the {what}", f"{PROBLEM_URN}…", problem["type"])

    def _check_schema(self, answer: Answer, described: Mapping[str, Any]) -> None:
        reference = described["$ref"]
        schema = self._schemas.get(reference)
        if schema is None:
            schema = self._schemas[reference] = Schema(described, self._contract)
        value = answer.json()
        if not schema.is_valid(value):
            error = next(schema.errors(value))
            name = reference.rpartition("/")[2]
            at = error["pointer"] or "the whole body"
            raise Mismatch(
                f"body of {answer.request}",
                f"a valid {name}",
                f"{at} {error['detail']}",
            )


def _check_media_type(answer: Answer, expected: str) -> None:
    if answer.media_type != expected:
        what = f"Content-Type of {answer.request} ({answer.status})"
        raise Mismatch(what, expected, answer.media_type or "no media type")


def _open_to_new_members(value: Any) -> Any:
    """Return a copy of a document without `additionalProperties: false`."""
    if isinstance(value, dict):
        return {
            name: _open_to_new_members(child)
            for name, child in value.items()
            if (name, child) != ("additionalProperties", False)
        }
    return (
        [_open_to_new_members(each) for each in value]
        if isinstance(value, list)
        else value
    )
