"""Check of answers against the contract: types, formats, ranges and nesting."""

import inspect
import json
import re
from contextlib import nullcontext
from io import BytesIO
from typing import Any

import httpx
import pytest
from trackerapi_client.answers import OPERATIONS
from trackerapi_client.types import UNSET, File

from scripts.contract.document import Operation
from tests.support.answers import ChangedAnswer, answer, changed_answers, contract
from tests.support.contract_document import operations
from tests.support.contract_samples import (
    endpoint_of,
    generated_operations,
    model_of,
    sample,
)
from tests.support.scripted_server import KEY
from trackerapi.errors import BackendUnavailable
from trackerapi.wire.answer_check import (
    InvalidAnswer,
    check_answer,
    check_model,
    parse_object,
)
from trackerapi.wire.attempts import TimeLimits
from trackerapi.wire.client import BackendClient

SHARE_LINK: dict[str, Any] = {
    "id": 1,
    "job_id": 2,
    "created_at": "2026-11-24T01:00:00Z",
    "expires_at": "2026-12-24T01:00:00Z",
    "revoked_at": None,
}
BEFORE_YEAR_1 = "0001-01-01T00:00:00+23:59"
"""RFC 3339 time that lies before year 1 in UTC: `datetime` cannot convert it."""

SCHEMAS = sorted({*(n for a in OPERATIONS.values() for n in a.values()), "Problem"})


def is_admitted(schema: str, text: str) -> bool:
    """Return whether `text` is accepted as an answer of a schema."""
    try:
        check_model(schema, parse_object(text.encode()))
    except InvalidAnswer:
        return False
    return True


def test_operations_have_the_schemas_of_the_contract() -> None:
    """`OPERATIONS` has the schema of each successful answer in the contract."""
    ours = {key: frozenset(each.values()) for key, each in OPERATIONS.items()}

    assert ours == {operation.key: operation.answers for operation in operations()}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_changed_answer_is_checked_as_in_the_contract(schema: str) -> None:
    """An answer with one changed value passes exactly if the contract allows it."""
    answers = changed_answers(schema)

    assert not [str(x) for x in answers if x.is_admitted != is_admitted(schema, x.text)]


def arguments_of(operation: Operation) -> dict[str, Any]:
    """Return the arguments for a call of an operation."""
    given: dict[str, Any] = {}
    parameters = inspect.signature(endpoint_of(operation).sync).parameters
    for name, parameter in parameters.items():
        if name == "body":
            given[name] = body_of(operation)
        elif name != "client" and parameter.default is not UNSET:
            given[name] = "1" if "str" in str(parameter.annotation) else 1
    return given


def body_of(operation: Operation) -> Any:
    """Return a valid body for an operation."""
    content = contract().resolve(operation.item["requestBody"])["content"]
    (media,) = content.values()
    schema = str(media["schema"].get("$ref", "")).rpartition("/")[2]
    if not schema:
        return File(payload=BytesIO(b"{}"))
    document = sample(contract(), contract().schemas[schema], full=False)
    return model_of(schema).from_dict(document)


OPERATION_LIST = generated_operations(contract())


@pytest.mark.parametrize("operation", OPERATION_LIST, ids=lambda one: one.operation_id)
def test_call_returns_a_model_or_rejects_the_answer(
    operation: Operation,
) -> None:
    """A call with a changed answer returns a model or raises BackendUnavailable."""
    now: list[tuple[int, ChangedAnswer]] = []

    def handler(_: httpx.Request) -> httpx.Response:
        headers = {"Content-Type": "application/json"}
        ((status, spoilt_answer),) = now
        return httpx.Response(status, content=spoilt_answer.text, headers=headers)

    client = BackendClient(
        base_url="http://backend.test",
        token=KEY,
        httpx_args={"transport": httpx.MockTransport(handler)},
        time_limits=TimeLimits(attempt_seconds=60.0, deadline_seconds=0.0),
    )
    key = f"{operation.method.upper()} {re.sub('{[^}]+}', '{}', operation.path)}"
    arguments = arguments_of(operation)
    for status, schema in OPERATIONS[key].items():
        for each in list(changed_answers(schema))[::5]:
            now[:] = [(status, each)]
            with (
                nullcontext() if each.is_admitted else pytest.raises(BackendUnavailable)
            ):
                endpoint_of(operation).sync(client=client, **arguments)
    client.close()


@pytest.mark.parametrize("path", ["/share-links/1/revoke", "/api/share-links/1/revoke"])
def test_answer_is_read_below_any_base_address(path: str) -> None:
    """An answer is accepted for a base address with a path."""
    check_answer("POST", path, 200, SHARE_LINK)


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("GET", "/share-links/1/revoke", SHARE_LINK),
        ("POST", "/share-links/revoke", SHARE_LINK),
        ("POST", "/share-links/1/revoke", {}),
        ("POST", "/jobs/1/share-links", SHARE_LINK),
        ("POST", "/share-links/1/revoke", {**SHARE_LINK, "created_at": BEFORE_YEAR_1}),
        ("POST", "/jobs/1/share-links", {"share_link": SHARE_LINK, "url": "/s/1"}),
        ("GET", "/", {}),
        ("GET", "/livez/more", {"status": "ok"}),
    ],
)
def test_answer_that_does_not_fit_the_operation_is_rejected(
    method: str, path: str, content: dict[str, Any]
) -> None:
    """JSON that does not fit method, path and schema raises InvalidAnswer."""
    with pytest.raises(InvalidAnswer):
        check_answer(method, path, 200, content)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe{\x00}\x00",
        json.dumps({"a": "b"}).encode("utf-16"),
        json.dumps({"a": "b"}).encode("utf-32"),
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": ' + b"9" * 5_000 + b"}",
        b'{"a": ' + b'{"a":' * 990 + b"1" + b"}" * 991,
        b'{"a": ' + b"[" * 200_000,
        b"[]",
        b"null",
    ],
)
def test_unsafe_json_is_rejected(body: bytes) -> None:
    """Text in another encoding, too large numbers and deep nesting raise."""
    with pytest.raises(InvalidAnswer):
        parse_object(body)


def test_deepest_answer_of_the_contract_is_read() -> None:
    """Events with the deepest metadata pass the check."""
    event = answer("Event")
    event["event_metadata"] = {"a": {"b": {"c": {"d": {"e": 1}}}}}
    page = {"items": [event], "next_cursor": None}

    check_answer("GET", "/jobs/1/events", 200, parse_object(json.dumps(page).encode()))
