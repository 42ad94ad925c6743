"""Requests of the generated client, checked against the contract."""

import datetime
import json
import re
from typing import Any
from urllib.parse import parse_qs, unquote

import httpx
import pytest
from trackerapi_client import AuthenticatedClient, Client
from trackerapi_client.types import File

from scripts.contract.document import Contract, Node, Operation, read_contract
from scripts.contract.walk import component_name
from scripts.project import CLIENT_PATH, CONTRACT_PATH, ROOT
from tests.support.contract_samples import (
    endpoint_of,
    generated_operations,
    model_of,
    sample,
    schema_errors,
    success,
)

OPERATIONS = generated_operations(read_contract(ROOT / CONTRACT_PATH))
KEY = "trk_abc_secret_check"
LINES = b'{"provider_job_id": "a", "kind": "step"}\n'
CONVERTED = {"integer": int, "number": float, "boolean": json.loads}


def call(
    contract: Contract, operation: Operation, *, full: bool
) -> tuple[httpx.Request, Any]:
    """Call the operation; return the sent request and the parsed answer."""
    requests: list[httpx.Request] = []
    status, schema = success(contract, operation)

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(status, json=sample(contract, schema, full=True))

    transport = {"transport": httpx.MockTransport(answer)}
    client: Client | AuthenticatedClient = Client(
        "http://backend", httpx_args=transport
    )
    if operation.item["security"]:
        client = AuthenticatedClient(
            "http://backend",
            token=KEY,
            prefix="",
            auth_header_name="X-API-Key",
            httpx_args=transport,
        )
    with client:
        response = endpoint_of(operation).sync_detailed(
            client=client, **arguments(contract, operation, full=full)
        )
    (request,) = requests
    return request, response.parsed


def arguments(
    contract: Contract, operation: Operation, *, full: bool
) -> dict[str, Any]:
    """Return all arguments for the generated function, or only the required ones."""
    made: dict[str, Any] = {}
    for parameter in contract.parameters(operation):
        if full or parameter.get("required", False):
            name = parameter["name"].lower().replace("-", "_")
            made[name] = _argument(contract, parameter["schema"])
    content = contract.resolve(operation.item.get("requestBody", {})).get("content", {})
    if "application/x-ndjson" in content:
        made["body"] = File(payload=LINES)
    elif content:
        schema = content["application/json"]["schema"]
        value = sample(contract, schema, full=full)
        made["body"] = model_of(component_name(schema) or "").from_dict(value)
    return made


def _argument(contract: Contract, schema: Node) -> Any:
    value = sample(contract, schema, full=True)
    if schema.get("format") == "date-time":
        return datetime.datetime.fromisoformat(value)
    enum = component_name(schema.get("items", {}))
    return [model_of(enum)(each) for each in value] if enum else value


def request_faults(
    contract: Contract, operation: Operation, request: httpx.Request
) -> list[str]:
    """Return the violations of the contract in the request."""
    return [
        *_path_faults(contract, operation, request.url),
        *_query_faults(contract, operation, request.url),
        *_header_faults(contract, operation, request.headers),
        *_body_faults(contract, operation, request),
    ]


def _path_faults(contract: Contract, operation: Operation, url: httpx.URL) -> list[str]:
    template = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation.path)
    found = re.fullmatch(template, url.raw_path.decode().partition("?")[0])
    if found is None:
        return [f"{url} does not match {operation.path}"]
    values = {name: [unquote(text)] for name, text in found.groupdict().items()}
    return _values_faults(contract, operation, "path", values)


def _query_faults(
    contract: Contract, operation: Operation, url: httpx.URL
) -> list[str]:
    values = parse_qs(url.query.decode(), keep_blank_values=True, strict_parsing=True)
    return _values_faults(contract, operation, "query", values)


def _header_faults(
    contract: Contract, operation: Operation, headers: httpx.Headers
) -> list[str]:
    expected = KEY if operation.item["security"] else None
    if headers.get("X-API-Key") != expected:
        return [f"X-API-Key is {headers.get('X-API-Key')}"]
    declared = {
        each["name"]: [headers[each["name"]]]
        for each in contract.parameters(operation)
        if each["in"] == "header" and each["name"] in headers
    }
    return _values_faults(contract, operation, "header", declared)


def _values_faults(
    contract: Contract, operation: Operation, where: str, values: dict[str, list[str]]
) -> list[str]:
    found: list[str] = []
    parameters = {
        each["name"]: each
        for each in contract.parameters(operation)
        if each["in"] == where
    }
    found.extend(f"{name} is not declared" for name in values.keys() - parameters)
    for name, parameter in parameters.items():
        schema = parameter["schema"]
        if name in values:
            convert = CONVERTED.get(schema["type"], str)
            texts = values[name]
            value = texts if schema["type"] == "array" else convert(texts[0])
            found.extend(schema_errors(contract, schema, value))
        elif parameter.get("required", False):
            found.append(f"{name} is missing")
    return found


def _body_faults(
    contract: Contract, operation: Operation, request: httpx.Request
) -> list[str]:
    body = contract.resolve(operation.item.get("requestBody", {}))
    if not body:
        return [] if request.content == b"" else ["the operation declares no body"]
    media_type = request.headers["Content-Type"]
    if media_type not in body["content"]:
        return [f"the operation declares no body of type {media_type}"]
    if media_type == "application/x-ndjson":
        return (
            [] if request.content == LINES else ["the lines differ from the argument"]
        )
    schema = body["content"][media_type]["schema"]
    return schema_errors(contract, schema, json.loads(request.content))


@pytest.mark.parametrize("full", [True, False], ids=["full", "minimal"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.operation_id)
def test_request_matches_the_contract(
    contract: Contract, operation: Operation, full: bool
) -> None:
    """Path, query, headers and body match the contract, and the answer is typed."""
    request, answer = call(contract, operation, full=full)
    assert request.method == operation.method.upper()
    assert request_faults(contract, operation, request) == []
    _, schema = success(contract, operation)
    assert type(answer) is model_of(component_name(schema) or "")


def test_full_request_carries_every_parameter(contract: Contract) -> None:
    """A request with all arguments contains each parameter of the contract."""
    for operation in OPERATIONS:
        request, _ = call(contract, operation, full=True)
        asked = parse_qs(request.url.query.decode()).keys() | request.headers
        for parameter in contract.parameters(operation):
            if parameter["in"] != "path":
                assert parameter["name"].lower() in {each.lower() for each in asked}


def test_every_operation_has_one_generated_module() -> None:
    """Generated modules and operations of the contract correspond one to one."""
    modules = {
        path.stem
        for path in (ROOT / CLIENT_PATH / "api").glob("*/*.py")
        if path.stem != "__init__"
    }
    assert modules == {operation.operation_id for operation in OPERATIONS}
    for operation in OPERATIONS:
        assert {"sync", "sync_detailed", "asyncio", "asyncio_detailed"} <= set(
            dir(endpoint_of(operation))
        )
