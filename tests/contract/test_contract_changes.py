"""Changes of the contract since the last release: breaking and additive ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from scripts import contract_changes
from scripts.contract.changes import compare
from scripts.contract.document import Contract, read_contract
from scripts.project import (
    BASELINE_DIGEST_PATH,
    BASELINE_PATH,
    CONTRACT_PATH,
    ROOT,
)
from tests.support.contract_editing import REMOVED, edit

SCHEMAS = "components|schemas"
REQUEST = f"{SCHEMAS}|JobInput"
ANSWER = f"{SCHEMAS}|Job"
CREATE_JOB = "paths|/jobs|post"
LIST_JOBS = "paths|/jobs|get"
TEXT = {"type": "string"}
PROBLEM = "#/components/responses/Problem"
REQUIRED_PARAMETER = {"name": "host", "in": "query", "required": True, "schema": TEXT}

BREAKING = [
    ("paths|/customers/{customer_id}", REMOVED, "get_customer: was removed"),
    (f"{CREATE_JOB}|operationId", "make_job", "create_job: was removed"),
    (f"{CREATE_JOB}|tags", ["events"], "create_job: moved to another module"),
    (f"{LIST_JOBS}|security", [{"api_key": ["admin"]}], "list_jobs: asks for"),
    (f"{LIST_JOBS}|parameters|0", REQUIRED_PARAMETER, "list_jobs(host): is a new req"),
    (f"{LIST_JOBS}|parameters|0|required", True, "(provider_job_id): is required now"),
    (f"{LIST_JOBS}|parameters|0|name", "job", "list_jobs(provider_job_id): was rem"),
    (f"{LIST_JOBS}|parameters|1|schema|type", "string", "(customer_id): has the type"),
    (f"{LIST_JOBS}|parameters|2|schema|maxLength", 50, "(tag): maxLength is 50"),
    (f"{CREATE_JOB}|responses|200", REMOVED, "create_job 200: is no longer answered"),
    (
        f"{CREATE_JOB}|responses|200|content|application/json|schema|$ref",
        "#/components/schemas/JobPage",
        "create_job 200: is JobPage instead of Job",
    ),
    (
        f"{CREATE_JOB}|requestBody|content",
        {"application/x-ndjson": {"schema": TEXT}},
        "create_job request: has no application/json any more",
    ),
    (f"{REQUEST}|properties|metadata", REMOVED, "JobInput.metadata: was removed"),
    (f"{ANSWER}|properties|percent", REMOVED, "Job.percent: was removed"),
    (f"{SCHEMAS}|StepStatus|enum", ["pending"], "StepStatus: lost the value 'done'"),
    (f"{SCHEMAS}|StepStatus|enum", REMOVED, "StepStatus: lost its set of values"),
    (
        f"{REQUEST}|required",
        ["provider_job_id", "customer_id", "tag", "finish"],
        "JobInput.finish: was optional, is required",
    ),
    (f"{ANSWER}|required", ["id"], "Job.percent: was required, is optional"),
    (f"{REQUEST}|properties|customer_id|type", "string", "customer_id: has the type"),
    (f"{ANSWER}|properties|id|type", ["integer", "null"], "Job.id: has the type"),
    (
        f"{ANSWER}|properties|created_at|format",
        REMOVED,
        "Job.created_at: format is abs",
    ),
    (f"{REQUEST}|properties|tag|maxLength", 99, "JobInput.tag: maxLength is 99"),
    (f"{REQUEST}|properties|tag|minLength", 2, "JobInput.tag: minLength is 2"),
    (f"{REQUEST}|properties|tag|pattern", "^a$", "JobInput.tag: pattern is"),
    (f"{REQUEST}|properties|customer_id|maximum", 9, "customer_id: maximum is 9"),
    (f"{REQUEST}|properties|customer_id|multipleOf", 2, "multipleOf is 2"),
    (
        f"{ANSWER}|properties|metadata",
        {"anyOf": [{"$ref": "#/components/schemas/Metadata"}, {"type": "null"}]},
        "Job.metadata: is Metadata or null instead of Metadata",
    ),
    (f"{SCHEMAS}|Metadata|maxProperties", 49, "Metadata: maxProperties is 49"),
    (
        f"{SCHEMAS}|Metadata|propertyNames|maxLength",
        99,
        "Metadata.propertyNames: maxLength is 99",
    ),
    (
        f"{SCHEMAS}|JobStatusSeen|anyOf",
        [{"$ref": "#/components/schemas/JobStatus"}],
        "JobStatusSeen: can no longer be string",
    ),
    (
        f"{SCHEMAS}|JobStatusSeen|anyOf|1",
        {"type": "integer"},
        "JobStatusSeen: can be integer now",
    ),
    (
        "components|securitySchemes|api_key|name",
        "X-Key",
        "api_key: is a different security scheme now",
    ),
]
ADDITIVE = [
    (f"{REQUEST}|properties|host", TEXT, "JobInput.host: is a new member"),
    (f"{ANSWER}|properties|host", TEXT, "Job.host: is a new member"),
    (f"{REQUEST}|required", ["tag"], "JobInput.customer_id: was required, is optional"),
    (f"{REQUEST}|properties|tag|maxLength", 101, "JobInput.tag: maxLength is 101"),
    (f"{REQUEST}|properties|tag|pattern", REMOVED, "JobInput.tag: pattern is absent"),
    (f"{REQUEST}|properties|tag|type", ["string", "null"], "JobInput.tag: has the ty"),
    (
        f"{REQUEST}|properties|metadata",
        {"anyOf": [{"$ref": "#/components/schemas/Metadata"}, {"type": "null"}]},
        "JobInput.metadata: is Metadata or null instead of Metadata",
    ),
    (f"{ANSWER}|properties|name|maxLength", 9, "Job.name: maxLength is 9"),
    (f"{ANSWER}|properties|percent|type", "number", "Job.percent: has the type number"),
    (f"{SCHEMAS}|JobStatus|enum|4", "paused", "JobStatus: gained the value 'paused'"),
    (f"{SCHEMAS}|Added", {"type": "string"}, "Added: is a new schema"),
    (f"{LIST_JOBS}|security", [], "list_jobs: asks for nothing now"),
    (f"{CREATE_JOB}|responses|412", {"$ref": PROBLEM}, "create_job 412: is a new"),
    (
        f"{LIST_JOBS}|parameters|0",
        {"name": "host", "in": "query", "schema": TEXT},
        "list_jobs(host): is a new parameter",
    ),
    (
        "paths|/hosts",
        {"get": {"operationId": "list_hosts", "responses": {}}},
        "list_hosts: is a new operation",
    ),
]


def changes(contract: Contract, document: dict[str, Any], *, breaking: bool) -> str:
    """Return the breaking or the additive changes to `document`, one on each line."""
    changes = compare(contract, Contract(document, ""))
    return "\n".join(str(each) for each in changes if each.breaking == breaking)


@pytest.mark.parametrize(("path", "value", "expected"), BREAKING)
def test_change_is_breaking(
    contract: Contract,
    document: dict[str, Any],
    path: str,
    value: object,
    expected: str,
) -> None:
    """The change is reported as breaking: a current client may fail."""
    edit(document, path, value)
    assert expected in changes(contract, document, breaking=True)


@pytest.mark.parametrize(("path", "value", "expected"), ADDITIVE)
def test_change_is_additive(
    contract: Contract,
    document: dict[str, Any],
    path: str,
    value: object,
    expected: str,
) -> None:
    """The change is reported as additive: current clients keep working."""
    edit(document, path, value)
    assert expected in changes(contract, document, breaking=False)
    assert expected not in changes(contract, document, breaking=True)


def test_new_required_request_member_is_breaking(
    contract: Contract, document: dict[str, Any]
) -> None:
    """A new required request member breaks clients, which do not send the member."""
    edit(document, f"{REQUEST}|properties|host", TEXT)
    document["components"]["schemas"]["JobInput"]["required"].append("host")
    assert "JobInput.host: is a new required member" in changes(
        contract, document, breaking=True
    )


def test_new_required_answer_member_is_breaking(
    contract: Contract, document: dict[str, Any]
) -> None:
    """A new required answer member is breaking: older backends omit the member."""
    edit(document, f"{ANSWER}|properties|host", TEXT)
    document["components"]["schemas"]["Job"]["required"].append("host")
    assert "Job.host: is a new required member" in changes(
        contract, document, breaking=True
    )


def test_changed_texts_are_no_change(
    contract: Contract, document: dict[str, Any]
) -> None:
    """Changes of descriptions, examples and addresses are not reported."""
    edit(document, "info|description", "Other words.")
    edit(document, "servers", [])
    edit(document, f"{REQUEST}|properties|tag|description", "Other words.")
    edit(document, f"{CREATE_JOB}|requestBody|content|application/json|examples", {})
    assert compare(contract, Contract(document, "")) == []


def test_contract_has_no_breaking_change_since_the_last_release() -> None:
    """The comparison with the baseline reports no breaking change."""
    assert contract_changes.main([]) == 0


def test_breaking_change_fails_the_command_until_recorded(
    tree: Path, contract: Contract, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command fails after a removal until the new baseline is recorded."""
    baseline = json.loads(json.dumps(contract.document))
    edit(baseline, f"{ANSWER}|properties|host", TEXT)
    contract_changes.record(Contract(baseline, ""), tree)
    assert contract_changes.main(["--root", str(tree)]) == 1
    assert "breaking: Job.host: was removed" in capsys.readouterr().out
    assert contract_changes.main(["--root", str(tree), "--record"]) == 0
    assert contract_changes.main(["--root", str(tree)]) == 0


def test_baseline_edited_by_hand_is_rejected(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command rejects a baseline whose digest differs: it was edited by hand."""
    baseline = tree / BASELINE_PATH
    edited = json.loads(baseline.read_text())
    del edited["paths"]["/customers/{customer_id}"]
    baseline.write_text(json.dumps(edited))

    assert contract_changes.main(["--root", str(tree)]) == 1
    assert "does not match its digest" in capsys.readouterr().err
    (tree / BASELINE_DIGEST_PATH).unlink()
    assert contract_changes.main(["--root", str(tree)]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_baseline_has_every_operation() -> None:
    """The baseline contains every operation, so that a removal is reported."""
    contract = read_contract(ROOT / CONTRACT_PATH)
    baseline = contract_changes.read_baseline(ROOT)

    assert baseline.document["paths"].keys() == contract.document["paths"].keys()
    for path, item in contract.document["paths"].items():
        assert baseline.document["paths"][path].keys() == item.keys(), path
