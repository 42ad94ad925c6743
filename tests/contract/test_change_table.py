"""Table of changes: each kind of change in each area of a contract, with its verdict.

A cell has one mutation of the contract, or the reason why its area has no such change.
"""

import copy
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, Literal

import pytest

from scripts.contract.changes import compare
from scripts.contract.document import Contract
from tests.support.contract_editing import REMOVED, edit

SCHEMAS: Final = "components|schemas"
INPUT: Final = f"{SCHEMAS}|JobInput"
JOB: Final = f"{SCHEMAS}|Job"
CREATE: Final = "paths|/jobs|post"
LIST: Final = "paths|/jobs|get"
TAG: Final = f"{LIST}|parameters|2"
LIMIT: Final = "components|parameters|Limit"
HEADER: Final = "components|responses|Unavailable|headers|Retry-After"
JSON: Final = "content|application/json"
SCHEME: Final = "components|securitySchemes|api_key"
TEXT: Final = {"type": "string"}
OF_JOB: Final = {"$ref": "#/components/schemas/Job"}
PROBLEM: Final = {"$ref": "#/components/responses/Problem"}
LATER: Final = {
    "description": "Later.",
    "content": {"application/json": {"schema": OF_JOB}},
}
EXPIRES: Final = {"name": "expires", "in": "query", "schema": TEXT}
ADMIN: Final = [{"api_key": ["admin"]}]
INGEST: Final = [{"api_key": ["ingest"]}]

Verdict = Literal["breaking", "additive", "unreported"]
Edits = tuple[tuple[str, object], ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One mutation of the contract.

    Attributes:
        verdict: Expected verdict; `unreported` if nothing is reported.
        reason: Part of the reported line, or the reason why nothing is reported.
        new: Edits that make the mutation; empty where the kind cannot occur.
        old: Edits of the contract with which the mutation is compared.
    """

    verdict: Verdict
    reason: str
    new: Edits = ()
    old: Edits = ()


def breaking(reason: str, *new: tuple[str, object], old: Edits = ()) -> Cell:
    """Return a cell with a change that may break a client."""
    return Cell("breaking", reason, new, old)


def additive(reason: str, *new: tuple[str, object], old: Edits = ()) -> Cell:
    """Return a cell with a change that is reported and breaks no client."""
    return Cell("additive", reason, new, old)


def unreported(reason: str, *new: tuple[str, object], old: Edits = ()) -> Cell:
    """Return a cell without a reported change."""
    return Cell("unreported", reason, new, old)


AREAS: Final = (
    "paths",
    "parameters",
    "bodies",
    "answers",
    "headers",
    "security",
    "schemas",
    "servers",
)
KINDS: Final = (
    "added",
    "added and required",
    "removed",
    "moved",
    "retyped",
    "narrowed",
    "widened",
    "made required",
    "made optional",
    "deprecated",
    "reworded",
    "unknown member",
)
UNTYPED: Final = "paths and servers have no type and no limits"
NEVER_OPTIONAL: Final = "the area is neither required nor optional"
UNDEPRECATED: Final = "OpenAPI has no deprecation of this area"

TABLE: Final[dict[tuple[str, str], Cell]] = {
    ("paths", "added"): additive(
        "list_hosts: is a new operation",
        ("paths|/hosts", {"get": {"operationId": "list_hosts", "responses": {}}}),
    ),
    ("paths", "added and required"): unreported("no client has to call an operation"),
    ("paths", "removed"): breaking("list_jobs: was removed", (LIST, REMOVED)),
    ("paths", "moved"): breaking(
        "livez: moved from GET /livez to GET /alive",
        ("paths|/livez", REMOVED),
        ("paths|/alive|get", {"operationId": "livez", "tags": ["system"]}),
    ),
    ("paths", "retyped"): breaking(
        "expire_api_key: moved from POST /api-keys/{key_id}/expire to DELETE",
        ("paths|/api-keys/{key_id}/expire|delete", {"operationId": "expire_api_key"}),
        ("paths|/api-keys/{key_id}/expire|post", REMOVED),
    ),
    ("paths", "narrowed"): unreported(UNTYPED),
    ("paths", "widened"): unreported(UNTYPED),
    ("paths", "made required"): unreported(NEVER_OPTIONAL),
    ("paths", "made optional"): unreported(NEVER_OPTIONAL),
    ("paths", "deprecated"): additive(
        "list_jobs: is deprecated now", (f"{LIST}|deprecated", True)
    ),
    ("paths", "reworded"): unreported(
        "texts change no client",
        (f"{LIST}|summary", "x"),
        ("info|version", "9"),
    ),
    ("paths", "unknown member"): breaking(
        "list_jobs: callbacks is", (f"{LIST}|callbacks", {"done": {}})
    ),
    ("parameters", "added"): additive(
        "list_jobs(expires): is a new parameter", (f"{LIST}|parameters|+", EXPIRES)
    ),
    ("parameters", "added and required"): breaking(
        "list_jobs(expires): is a new required parameter",
        (f"{LIST}|parameters|+", {**EXPIRES, "required": True}),
    ),
    ("parameters", "removed"): breaking("list_jobs(tag): was removed", (TAG, REMOVED)),
    ("parameters", "moved"): breaking(
        "list_jobs(tag): moved from query to header", (f"{TAG}|in", "header")
    ),
    ("parameters", "retyped"): breaking(
        "list_jobs(tag): has the type integer", (f"{TAG}|schema|type", "integer")
    ),
    ("parameters", "narrowed"): breaking(
        "(limit): maximum is 1", (f"{LIMIT}|schema|maximum", 1)
    ),
    ("parameters", "widened"): additive(
        "(limit): maximum is 9999", (f"{LIMIT}|schema|maximum", 9999)
    ),
    ("parameters", "made required"): breaking(
        "list_jobs(tag): is required now", (f"{TAG}|required", True)
    ),
    ("parameters", "made optional"): additive(
        "list_jobs(tag): is optional now", old=((f"{TAG}|required", True),)
    ),
    ("parameters", "deprecated"): additive(
        "list_jobs(tag): is deprecated now", (f"{TAG}|deprecated", True)
    ),
    ("parameters", "reworded"): unreported(
        "texts change no client",
        (f"{TAG}|description", "x"),
        (f"{TAG}|example", 1),
    ),
    ("parameters", "unknown member"): breaking(
        "list_jobs(tag): style is", (f"{TAG}|style", "deepObject")
    ),
    ("bodies", "added"): additive(
        "list_jobs request: can be application/json",
        (f"{LIST}|requestBody", {"content": {"application/json": {"schema": TEXT}}}),
    ),
    ("bodies", "added and required"): breaking(
        "list_jobs request: needs a body now",
        (f"{LIST}|requestBody", {"required": True, "content": {}}),
    ),
    ("bodies", "removed"): breaking(
        "create_job request: has no application/json",
        (f"{CREATE}|requestBody", REMOVED),
    ),
    ("bodies", "moved"): breaking(
        "create_job request: has no application/json any more",
        (f"{CREATE}|requestBody|content", {"application/x-ndjson": {"schema": TEXT}}),
    ),
    ("bodies", "retyped"): breaking(
        "create_job request: is Job instead of JobInput",
        (f"{CREATE}|requestBody|{JSON}|schema", OF_JOB),
    ),
    ("bodies", "narrowed"): breaking(
        "JobInput.tag: maxLength is 1", (f"{INPUT}|properties|tag|maxLength", 1)
    ),
    ("bodies", "widened"): additive(
        "create_job request: can be application/cbor",
        (f"{CREATE}|requestBody|content|application/cbor", {"schema": TEXT}),
    ),
    ("bodies", "made required"): breaking(
        "create_job request: needs a body now",
        old=((f"{CREATE}|requestBody|required", False),),
    ),
    ("bodies", "made optional"): additive(
        "create_job request: needs no body now",
        (f"{CREATE}|requestBody|required", False),
    ),
    ("bodies", "deprecated"): unreported(UNDEPRECATED),
    ("bodies", "reworded"): unreported(
        "texts change no client",
        (f"{CREATE}|requestBody|description", "x"),
    ),
    ("bodies", "unknown member"): breaking(
        "create_job request: encoding is",
        (f"{CREATE}|requestBody|{JSON}|encoding", {"tag": {}}),
    ),
    ("answers", "added"): additive(
        "create_job 412: is a new answer", (f"{CREATE}|responses|412", PROBLEM)
    ),
    ("answers", "added and required"): breaking(
        "create_job 202: is a new answer", (f"{CREATE}|responses|202", LATER)
    ),
    ("answers", "removed"): breaking(
        "create_job 200: is no longer answered", (f"{CREATE}|responses|200", REMOVED)
    ),
    ("answers", "moved"): breaking(
        "create_job 303: is a new answer",
        (f"{CREATE}|responses|201", REMOVED),
        (f"{CREATE}|responses|303", {"description": "Look there."}),
    ),
    ("answers", "retyped"): breaking(
        "create_job 201: is JobPage instead of Job",
        (
            f"{CREATE}|responses|201|{JSON}|schema",
            {"$ref": "#/components/schemas/JobPage"},
        ),
    ),
    ("answers", "narrowed"): breaking(
        "create_job 201: has no application/json any more",
        (f"{CREATE}|responses|201|content", {}),
    ),
    ("answers", "widened"): breaking(
        "create_job 201: can be application/cbor",
        (f"{CREATE}|responses|201|content|application/cbor", {"schema": TEXT}),
    ),
    ("answers", "made required"): unreported(NEVER_OPTIONAL),
    ("answers", "made optional"): unreported(NEVER_OPTIONAL),
    ("answers", "deprecated"): unreported(UNDEPRECATED),
    ("answers", "reworded"): unreported(
        "texts and links change no client",
        (f"{CREATE}|responses|201|description", "x"),
        (f"{CREATE}|responses|201|links", {"next": {}}),
    ),
    ("answers", "unknown member"): breaking(
        "create_job 201: content-kind is",
        (f"{CREATE}|responses|201|content-kind", "other"),
    ),
    ("headers", "added"): additive(
        "list_jobs 200 header Age: is a new header",
        (f"{LIST}|responses|200|headers", {"Age": {"schema": TEXT}}),
    ),
    ("headers", "added and required"): breaking(
        "list_jobs 200 header Age: is a new required header",
        (f"{LIST}|responses|200|headers", {"Age": {"required": True, "schema": TEXT}}),
    ),
    ("headers", "removed"): breaking(
        "readyz 503 header Retry-After: was removed", (HEADER, REMOVED)
    ),
    ("headers", "moved"): unreported(
        "names of headers are case-insensitive",
        ("components|responses|Unavailable|headers", {"retry-after": {"schema": TEXT}}),
        old=(
            (
                "components|responses|Unavailable|headers",
                {"Retry-After": {"schema": TEXT}},
            ),
        ),
    ),
    ("headers", "retyped"): breaking(
        "readyz 503 header Retry-After: has the type boolean",
        (f"{HEADER}|schema|type", "boolean"),
    ),
    ("headers", "narrowed"): additive(
        "readyz 503 header Retry-After: maximum is 5", (f"{HEADER}|schema|maximum", 5)
    ),
    ("headers", "widened"): breaking(
        "readyz 503 header Retry-After: maximum is absent",
        old=((f"{HEADER}|schema|maximum", 5),),
    ),
    ("headers", "made required"): breaking(
        "readyz 503 header Retry-After: is required now",
        (f"{HEADER}|required", True),
        old=((f"{HEADER}|required", False),),
    ),
    ("headers", "made optional"): breaking(
        "readyz 503 header Retry-After: is optional now",
        (f"{HEADER}|required", False),
        old=((f"{HEADER}|required", True),),
    ),
    ("headers", "deprecated"): additive(
        "readyz 503 header Retry-After: is deprecated now",
        (f"{HEADER}|deprecated", True),
    ),
    ("headers", "reworded"): unreported(
        "texts change no client", (f"{HEADER}|description", "x")
    ),
    ("headers", "unknown member"): breaking(
        "readyz 503 header Retry-After: explode is", (f"{HEADER}|explode", True)
    ),
    ("security", "added"): additive(
        "list_jobs: asks for", (f"{LIST}|security|+", {"other_key": []})
    ),
    ("security", "added and required"): breaking(
        "livez: asks for api_key now", ("paths|/livez|get|security", [{"api_key": []}])
    ),
    ("security", "removed"): additive(
        "list_jobs: asks for nothing now", (f"{LIST}|security", [])
    ),
    ("security", "moved"): breaking(
        "api_key: is a different security scheme now", (f"{SCHEME}|name", "X-Other-Key")
    ),
    ("security", "retyped"): breaking(
        "api_key: is a different security scheme now", (f"{SCHEME}|type", "http")
    ),
    ("security", "narrowed"): breaking(
        "create_job: asks for api_key and api_key admin", (f"{CREATE}|security", ADMIN)
    ),
    ("security", "widened"): additive(
        "create_job: asks for api_key now", (f"{CREATE}|security", [{"api_key": []}])
    ),
    ("security", "made required"): breaking(
        "create_job: asks for", old=((f"{CREATE}|security", [*INGEST, {}]),)
    ),
    ("security", "made optional"): additive(
        "create_job: asks for", (f"{CREATE}|security", [*INGEST, {}])
    ),
    ("security", "deprecated"): unreported(UNDEPRECATED),
    ("security", "reworded"): unreported(
        "texts change no client", (f"{SCHEME}|description", "x")
    ),
    ("security", "unknown member"): breaking(
        "api_key: is a different security scheme now", (f"{SCHEME}|bearerFormat", "JWT")
    ),
    ("schemas", "added"): additive(
        "Job.host: is a new member", (f"{JOB}|properties|host", TEXT)
    ),
    ("schemas", "added and required"): breaking(
        "Job.host: is a new required member",
        (f"{JOB}|properties|host", TEXT),
        (f"{JOB}|required|+", "host"),
    ),
    ("schemas", "removed"): breaking(
        "Job.percent: was removed", (f"{JOB}|properties|percent", REMOVED)
    ),
    ("schemas", "moved"): breaking(
        "Customer: was removed",
        (f"{SCHEMAS}|Customer", REMOVED),
        (f"{SCHEMAS}|Client", {"type": "object"}),
    ),
    ("schemas", "retyped"): breaking(
        "Job.tag: has the type integer", (f"{JOB}|properties|tag|type", "integer")
    ),
    ("schemas", "narrowed"): breaking(
        "Problem.additionalProperties: is false instead of true",
        (f"{SCHEMAS}|Problem|additionalProperties", False),
    ),
    ("schemas", "widened"): breaking(
        "Job.percent: maximum is 101", (f"{JOB}|properties|percent|maximum", 101)
    ),
    ("schemas", "made required"): breaking(
        "Job.percent: was optional, is required",
        old=((f"{JOB}|required", ["id"]),),
    ),
    ("schemas", "made optional"): breaking(
        "Job.percent: was required, is optional", (f"{JOB}|required", ["id"])
    ),
    ("schemas", "deprecated"): additive(
        "Job.percent: is deprecated now", (f"{JOB}|properties|percent|deprecated", True)
    ),
    ("schemas", "reworded"): unreported(
        "texts and extensions change no client",
        (f"{JOB}|properties|percent|description", "x"),
        (f"{JOB}|x-order", 1),
    ),
    ("schemas", "unknown member"): breaking(
        "Job: not is", (f"{JOB}|not", {"required": ["host"]})
    ),
    ("servers", "added"): unreported(
        "each script names the host of its backend",
        ("servers|+", {"url": "https://tracker.example"}),
    ),
    ("servers", "added and required"): unreported(NEVER_OPTIONAL),
    ("servers", "removed"): unreported(
        "without servers, paths begin at / as before", ("servers", REMOVED)
    ),
    ("servers", "moved"): breaking(
        "servers: paths begin at /v2 now", ("servers|0|url", "http://127.0.0.1:8000/v2")
    ),
    ("servers", "retyped"): unreported(UNTYPED),
    ("servers", "narrowed"): breaking(
        "servers: paths begin at / now",
        old=(("servers|+", {"url": "/v1"}),),
    ),
    ("servers", "widened"): breaking(
        "servers: paths begin at / or /v1 now", ("servers|+", {"url": "/v1"})
    ),
    ("servers", "made required"): unreported(NEVER_OPTIONAL),
    ("servers", "made optional"): unreported(NEVER_OPTIONAL),
    ("servers", "deprecated"): unreported(UNDEPRECATED),
    ("servers", "reworded"): unreported(
        "texts change no client", ("servers|0|description", "x")
    ),
    ("servers", "unknown member"): breaking(
        "list_jobs: servers is", (f"{LIST}|servers", [{"url": "/v2"}])
    ),
}


def test_table_has_every_cell() -> None:
    """Each area has a cell for each kind, and each empty cell has a reason."""
    assert TABLE.keys() == set(product(AREAS, KINDS))
    for cell in TABLE.values():
        assert cell.new or cell.old or (cell.verdict == "unreported" and cell.reason)


@pytest.mark.parametrize(
    "cell", TABLE.values(), ids=[" ".join(where) for where in TABLE]
)
def test_change_has_its_verdict(cell: Cell, document: dict[str, Any]) -> None:
    """The comparison reports a mutation with its location and its verdict."""
    before, after = copy.deepcopy(document), copy.deepcopy(document)
    for path, value in cell.old:
        edit(before, path, value)
    for path, value in cell.new:
        edit(after, path, value)

    changes = compare(Contract(before, ""), Contract(after, ""))

    report = "\n".join(map(str, changes))
    assert any(change.breaking for change in changes) is (cell.verdict == "breaking")
    if cell.verdict == "unreported":
        assert report == ""
    else:
        assert f"{cell.verdict}: " in report
        assert any(
            cell.reason in str(change)
            for change in changes
            if change.breaking is (cell.verdict == "breaking")
        ), report
