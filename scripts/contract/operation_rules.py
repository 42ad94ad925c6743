"""Rules of the dialect about operations, parameters, bodies and answers.

Each rule finds a construct that the client's generator drops, invents or compiles
wrongly without a warning. The docstring of the rule describes the effect.
"""

import re
from collections import Counter
from collections.abc import Iterator

from scripts.contract.document import (
    STREAM_BODY,
    Contract,
    Node,
    Operation,
    pointer,
)
from scripts.contract.finding import Finding
from scripts.contract.schema_rules import SNAKE_NAME
from scripts.contract.walk import component_name

STATUS = re.compile(r"[1-5]\d\d|[1-5]XX|default")
KEBAB_NAME = re.compile(r"[a-z]+(-[a-z]+)*")
JSON_BODY = "application/json"
LINES_BODY = "application/x-ndjson"
PROBLEM_BODY = "application/problem+json"
SUPPORTED_VERSION = "3.1.0"


def version(contract: Contract) -> Iterator[Finding]:
    """The generator refuses later versions; earlier versions have other rules."""
    if contract.document["openapi"] != SUPPORTED_VERSION:
        fix = f"write the contract in {SUPPORTED_VERSION}"
        yield Finding("#/openapi", "is another version of OpenAPI", fix)


def operation_names(contract: Contract) -> Iterator[Finding]:
    """The id becomes a module name: of two equal ids, the second replaces the first."""
    uses = Counter(each.operation_id for each in contract.operations())
    for operation in contract.operations():
        place = f"{operation.pointer}/operationId"
        if not SNAKE_NAME.fullmatch(operation.operation_id):
            yield Finding(place, "is no module name", "use a snake_case name")
        elif uses[operation.operation_id] > 1:
            yield Finding(place, "is used twice", "give each operation its own")


def tags(contract: Contract) -> Iterator[Finding]:
    """The tag becomes a folder name; of several tags, an arbitrary tag is used."""
    declared = {each["name"] for each in contract.document.get("tags", ())}
    for operation in contract.operations():
        written = operation.item.get("tags", [])
        place = f"{operation.pointer}/tags"
        if len(written) != 1 or not KEBAB_NAME.fullmatch(written[0]):
            yield Finding(place, "is not one kebab-case tag", "give it one")
        elif written[0] not in declared:
            yield Finding(place, f"{written[0]!r} is not declared", "declare it")


def security(contract: Contract) -> Iterator[Finding]:
    """The generator ignores document-wide security, and an empty alternative."""
    if "security" in contract.document:
        yield Finding("#/security", "is ignored", "write it on every operation")
    for operation in contract.operations():
        place = f"{operation.pointer}/security"
        if "security" not in operation.item:
            yield Finding(place, "is missing", "name the key, or [] for a public one")
        elif {} in operation.item["security"]:
            yield Finding(place, "makes the key optional", "use [] for a public one")


def path_items(contract: Contract) -> Iterator[Finding]:
    """Parameters of a whole path are easily overlooked: operations have their own."""
    for path, item in contract.document.get("paths", {}).items():
        if "parameters" in item:
            place = pointer("#/paths", path, "parameters")
            yield Finding(place, "stand outside an operation", "move them into it")


def parameter_styles(contract: Contract) -> Iterator[Finding]:
    """The generator ignores styles: it repeats lists and flattens objects."""
    for place, parameter in _parameters(contract):
        for keyword in ("style", "explode", "allowReserved", "content"):
            if keyword in parameter:
                yield Finding(place, f"uses {keyword}", "leave it out")


def header_types(contract: Contract) -> Iterator[Finding]:
    """A header value that is not text reaches httpx unconverted, and fails there."""
    for place, parameter in _parameters(contract):
        schema = parameter.get("schema", {})
        plain = schema.get("type") == "string" and "format" not in schema
        if parameter.get("in") == "header" and not plain:
            yield Finding(place, "is no plain text header", "use type: string")


def parameter_descriptions(contract: Contract) -> Iterator[Finding]:
    """Only the description inside the schema reaches the generated docstring."""
    for place, parameter in _parameters(contract):
        schema = contract.resolve(parameter.get("schema", {}))
        if parameter.get("description") != schema.get("description"):
            fix = "repeat the parameter's description in its schema"
            yield Finding(place, "loses its description", fix)


def request_bodies(contract: Contract) -> Iterator[Finding]:
    """A second media type makes the body optional; another type drops the operation."""
    for operation in contract.operations():
        if "requestBody" not in operation.item:
            continue
        place = f"{operation.pointer}/requestBody"
        body = contract.resolve(operation.item["requestBody"])
        media = list(body.get("content", {}))
        if media not in ([JSON_BODY], [LINES_BODY]):
            fix = f"use {JSON_BODY} or {LINES_BODY}, and one operation for each"
            yield Finding(place, "has not one known media type", fix)
        if not body.get("required", False):
            yield Finding(place, "is optional", "say required: true")


def binary_bodies(contract: Contract) -> Iterator[Finding]:
    """NDJSON lines are sent unchanged only if their schema is a binary string."""
    for operation in contract.operations():
        content = contract.resolve(operation.item.get("requestBody", {})).get(
            "content", {}
        )
        schema = content.get(LINES_BODY, {}).get("schema")
        if schema not in (None, {"type": "string", "format": "binary"}):
            place = pointer(operation.pointer, "requestBody", "content", LINES_BODY)
            fix = "use type: string, format: binary"
            yield Finding(place, "would be sent as JSON", fix)


def response_statuses(contract: Contract) -> Iterator[Finding]:
    """An invalid status drops the answer; without `default`, failures have no type."""
    for operation in contract.operations():
        statuses = contract.responses(operation)
        place = f"{operation.pointer}/responses"
        for status in statuses:
            if not STATUS.fullmatch(status):
                fix = "use a number, a range such as 5XX, or default"
                yield Finding(pointer(place, status), "is no status", fix)
        if "default" not in statuses:
            yield Finding(place, "has no default", "refer to the Problem response")


def response_bodies(contract: Contract) -> Iterator[Finding]:
    """An answer without a body, or with a choice of media types, loses its type."""
    for operation in contract.operations():
        success = STREAM_BODY if contract.is_stream(operation) else JSON_BODY
        for status, response in contract.responses(operation).items():
            media = list(response.get("content", {}))
            expected = success if status.startswith("2") else PROBLEM_BODY
            if media != [expected]:
                place = pointer(operation.pointer, "responses", status)
                fix = f"give it exactly one body, {expected}"
                yield Finding(place, f"has the bodies {media}", fix)


def streams(contract: Contract) -> Iterator[Finding]:
    """The library reads a stream by hand: a GET whose messages are one component."""
    for operation in filter(contract.is_stream, contract.operations()):
        if operation.method != "get":
            yield Finding(operation.pointer, "streams a body", "use GET")
        statuses = [each for each in contract.responses(operation) if each[0] == "2"]
        place = f"{operation.pointer}/responses"
        if statuses != ["200"]:
            yield Finding(place, f"streams {statuses}", "answer only 200")
        for status in statuses:
            content = contract.responses(operation)[status].get("content", {})
            schema = content.get(STREAM_BODY, {}).get("schema", {})
            if component_name(schema) is None:
                fix = "refer to the component of the data of each message"
                yield Finding(pointer(place, status), "names no component", fix)


def component_responses(contract: Contract) -> Iterator[Finding]:
    """A shared response that is only a reference to another response is dropped."""
    for name, response in contract.components("responses").items():
        if "$ref" in response:
            place = pointer("#/components/responses", name)
            yield Finding(place, "is only a reference", "write it out")


OPERATION_RULES = (
    version,
    operation_names,
    tags,
    security,
    path_items,
    parameter_styles,
    header_types,
    parameter_descriptions,
    request_bodies,
    binary_bodies,
    response_statuses,
    response_bodies,
    streams,
    component_responses,
)


def _parameters(contract: Contract) -> Iterator[tuple[str, Node]]:
    for operation in contract.operations():
        yield from _parameters_of(contract, operation)


def _parameters_of(
    contract: Contract, operation: Operation
) -> Iterator[tuple[str, Node]]:
    for index, parameter in enumerate(contract.parameters(operation)):
        yield pointer(operation.pointer, "parameters", index), parameter
