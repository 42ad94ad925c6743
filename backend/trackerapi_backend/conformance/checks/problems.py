"""Checks of problems: status and problem document of each kind of bad request."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from trackerapi_backend.conformance.checks.samples import SAMPLES, UNKNOWN_IDS
from trackerapi_backend.conformance.expectations import Mismatch, expect
from trackerapi_backend.conformance.group import Group
from trackerapi_backend.conformance.session import NO_KEY
from trackerapi_backend.requests.contract import document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from trackerapi_backend.conformance.session import Session

group = Group("problems")

MALFORMED: Mapping[str, bytes] = {
    "no-json": b"{not JSON",
    "empty": b"",
    "no-object": b"[]",
    "no-utf-8": b'{"kind": "\xff"}',
    "nul": b'{"provider_job_id": "a\\u0000b", "kind": "info"}',
    "surrogate": b'{"provider_job_id": "a\\ud800b", "kind": "info"}',
    "huge-number": b'{"provider_job_id": "a", "kind": "info", "total": 1e999}',
    "no-number": b'{"provider_job_id": "a", "kind": "info", "total": NaN}',
    "nesting": b"[" * 100_000,
}
"""Bodies that are not a valid event, by the name of the check."""


def _json_operations() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each operation with a JSON body, and the schema of the body."""
    schemas = document()["components"]["schemas"]
    for methods in document()["paths"].values():
        for described in methods.values():
            content = described.get("requestBody", {}).get("content", {})
            if "application/json" in content:
                reference = content["application/json"]["schema"]["$ref"]
                yield described["operationId"], schemas[reference.rpartition("/")[2]]


def _check_malformed(body: bytes, session: Session) -> None:
    for operation_id in ("create_event", "create_job"):
        session.call(operation_id, body).require(400, 422)
    # A blank body is a batch without lines.
    if body:
        report = session.call("import_events", body).require(200)
        expect("accepted lines", 0, report["accepted"])


for _name, _body in MALFORMED.items():
    group.add(
        f"body-{_name}",
        f"A malformed body is rejected and never answered with 500: {_name}",
        partial(_check_malformed, _body),
    )


@group.check("media-type")
def _media_type(session: Session) -> None:
    """A body with another media type is rejected (415) by every operation."""
    other = {"Content-Type": "text/plain"}
    for operation_id, sample_of in SAMPLES.items():
        sample = sample_of(session)
        if sample.body is not None:
            path = sample.path
            answer = session.call(operation_id, sample.body, headers=other, **path)
            answer.require(415)


@group.check("unknown-member")
def _unknown_member(session: Session) -> None:
    """A member that the schema does not have is rejected (422) with its location."""
    for operation_id, _schema in _json_operations():
        sample = SAMPLES[operation_id](session)
        sent = {**sample.body, "surprise": 1}
        problem = session.call(operation_id, sent, **sample.path).require(422)
        _expect_pointer(operation_id, "surprise", problem)


@group.check("missing-member")
def _missing_member(session: Session) -> None:
    """A missing required member is rejected (422)."""
    for operation_id, schema in _json_operations():
        sample = SAMPLES[operation_id](session)
        for name in schema.get("required", ()):
            sent = {key: sample.body[key] for key in sample.body if key != name}
            session.call(operation_id, sent, **sample.path).require(422)


@group.check("wrong-type")
def _wrong_type(session: Session) -> None:
    """A member of a wrong type is rejected (422) with its location."""
    for operation_id, schema in _json_operations():
        sample = SAMPLES[operation_id](session)
        for name in schema["properties"]:
            sent = {**sample.body, name: [{}]}
            problem = session.call(operation_id, sent, **sample.path).require(422)
            _expect_pointer(operation_id, name, problem)


def _expect_pointer(operation_id: str, name: str, problem: Mapping[str, Any]) -> None:
    pointers = [error["pointer"] for error in problem.get("errors", ())]
    if not any(pointer.startswith(f"/{name}") for pointer in pointers):
        what = f"errors of {operation_id} with a wrong {name}"
        raise Mismatch(what, f"a pointer to /{name}", pointers)


@group.check("unknown-object")
def _unknown_object(session: Session) -> None:
    """Every operation on one object answers 404 for an id that does not exist."""
    for operation_id, sample_of in SAMPLES.items():
        sample = sample_of(session)
        if sample.path:
            path = {name: UNKNOWN_IDS[name] for name in sample.path}
            session.call(operation_id, sample.body, **path).require(404)


@group.check("invalid-id")
def _invalid_id(session: Session) -> None:
    """An id that is not a number from 1 to 2^53 - 1 is rejected (404 or 422)."""
    for value in ("0", "-1", "x", "9007199254740992", "1.5", "%00"):
        session.call("get_job", job_id=value).require(404, 422)


@group.check("documents")
def _documents(session: Session) -> None:
    """Every error of the run was a problem document with all its members."""
    session.call("verify_api_key", key=NO_KEY)
    session.call("get_job", job_id=UNKNOWN_IDS["job_id"])
    session.call("create_event", json.dumps({}).encode())
    for deviation in session.deviations["problems"]:
        raise deviation
