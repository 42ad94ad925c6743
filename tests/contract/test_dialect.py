"""Rules of the contract dialect, each tested with a contract that breaks the rule."""

import json
from pathlib import Path
from typing import Any

import pytest

from scripts import lint_contract
from scripts.contract import operation_rules, schema_rules
from scripts.contract.dialect import RULES, lint
from scripts.contract.document import Contract, ContractError, parse_contract
from tests.support.contract_editing import REMOVED, edit

JOB_INPUT = "components|schemas|JobInput"
CREATE_JOB = "paths|/jobs|post"
HEADER = "paths|/events/batch|post|parameters|0"
LINES = "paths|/events/batch|post|requestBody|content|application/x-ndjson|schema"
TEXT = {"type": "string"}
JOB_REFERENCE = {"$ref": "#/components/schemas/Job"}
STREAM = "paths|/jobs/{job_id}/stream|get"
SSE = "text/event-stream"
EVENTS = {SSE: {"schema": JOB_REFERENCE}}

BREAKS = [
    (operation_rules.version, "openapi", "3.2.0"),
    (operation_rules.operation_names, f"{CREATE_JOB}|operationId", "createJob"),
    (operation_rules.operation_names, f"{CREATE_JOB}|operationId", "list_jobs"),
    (operation_rules.tags, f"{CREATE_JOB}|tags", ["jobs", "events"]),
    (operation_rules.tags, f"{CREATE_JOB}|tags", ["Jobs"]),
    (operation_rules.tags, f"{CREATE_JOB}|tags", ["undeclared"]),
    (operation_rules.security, "security", [{"api_key": []}]),
    (operation_rules.security, f"{CREATE_JOB}|security", REMOVED),
    (operation_rules.security, f"{CREATE_JOB}|security", [{}, {"api_key": []}]),
    (operation_rules.path_items, "paths|/jobs|parameters", []),
    (operation_rules.parameter_styles, f"{HEADER}|explode", False),
    (operation_rules.parameter_styles, f"{HEADER}|style", "deepObject"),
    (operation_rules.header_types, f"{HEADER}|schema|format", "uuid"),
    (operation_rules.header_types, f"{HEADER}|schema|type", ["string", "null"]),
    (operation_rules.header_types, f"{HEADER}|schema|type", "integer"),
    (operation_rules.parameter_descriptions, f"{HEADER}|schema|description", REMOVED),
    (
        operation_rules.request_bodies,
        f"{CREATE_JOB}|requestBody|content|text/csv",
        {"schema": TEXT},
    ),
    (operation_rules.request_bodies, f"{CREATE_JOB}|requestBody|required", REMOVED),
    (operation_rules.binary_bodies, f"{LINES}|format", REMOVED),
    (operation_rules.response_statuses, f"{CREATE_JOB}|responses|5xx", {}),
    (operation_rules.response_statuses, f"{CREATE_JOB}|responses|default", REMOVED),
    (
        operation_rules.response_bodies,
        f"{CREATE_JOB}|responses|202",
        {"description": "Nothing."},
    ),
    (
        operation_rules.response_bodies,
        "components|responses|Problem|content|application/json",
        {"schema": TEXT},
    ),
    (operation_rules.response_bodies, f"{STREAM}|responses|429", {"content": EVENTS}),
    (
        operation_rules.response_bodies,
        f"{STREAM}|responses|200|content|application/json",
        {"schema": JOB_REFERENCE},
    ),
    (operation_rules.streams, f"{CREATE_JOB}|responses|201|content", EVENTS),
    (operation_rules.streams, f"{STREAM}|responses|201", {"content": EVENTS}),
    (operation_rules.streams, f"{STREAM}|responses|200|content", {SSE: {}}),
    (
        operation_rules.streams,
        f"{STREAM}|responses|200|content|{SSE}|schema",
        TEXT,
    ),
    (
        operation_rules.component_responses,
        "components|responses|Conflict",
        {"$ref": "#/components/responses/Problem"},
    ),
    (schema_rules.property_names, f"{JOB_INPUT}|properties|d", TEXT),
    (schema_rules.property_names, f"{JOB_INPUT}|properties|to_dict", TEXT),
    (schema_rules.property_names, f"{JOB_INPUT}|properties|job_input", TEXT),
    (schema_rules.property_names, f"{JOB_INPUT}|properties|jobTag", TEXT),
    (schema_rules.property_names, f"{JOB_INPUT}|properties|_private", TEXT),
    (schema_rules.defaults, f"{JOB_INPUT}|properties|finish|default", "auto"),
    (schema_rules.defaults, "components|parameters|Limit|schema|default", 50),
    (
        schema_rules.nullable_enums,
        "components|schemas|JobStatus|enum",
        ["pending", None],
    ),
    (schema_rules.nullable_enums, "components|schemas|JobStatus|nullable", True),
    (
        schema_rules.open_answers,
        "components|schemas|Job|properties|status",
        {"$ref": "#/components/schemas/JobStatus"},
    ),
    (
        schema_rules.open_answers,
        "components|schemas|JobStatusSeen|anyOf",
        [{"$ref": "#/components/schemas/JobStatus"}],
    ),
    (
        schema_rules.inline_models,
        f"{JOB_INPUT}|properties|place",
        {"type": "object", "additionalProperties": False},
    ),
    (schema_rules.inline_models, f"{JOB_INPUT}|properties|tag|enum", ["a"]),
    (schema_rules.titles, f"{JOB_INPUT}|title", "New job"),
    (schema_rules.closed_objects, f"{JOB_INPUT}|additionalProperties", REMOVED),
    (schema_rules.required_members, f"{JOB_INPUT}|properties|tag", REMOVED),
    (
        schema_rules.alternatives,
        "components|schemas|ProblemError|discriminator",
        {"propertyName": "pointer"},
    ),
    (schema_rules.alternatives, f"{JOB_INPUT}|oneOf", [JOB_REFERENCE]),
    (schema_rules.references, f"{JOB_INPUT}|$defs", {}),
    (
        schema_rules.references,
        f"{JOB_INPUT}|properties|finish|$ref",
        "other.yaml#/components/schemas/FinishPolicy",
    ),
    (
        schema_rules.references,
        f"{JOB_INPUT}|properties|finish|$ref",
        "#/components/schemas/JobInput/properties/tag",
    ),
    (schema_rules.references_stand_alone, f"{JOB_INPUT}|properties|finish|type", "x"),
    (schema_rules.formats, f"{JOB_INPUT}|properties|tag|format", "duration"),
    (schema_rules.directions, f"{JOB_INPUT}|properties|tag|readOnly", True),
    (schema_rules.directions, f"{JOB_INPUT}|properties|tag|writeOnly", True),
]


def test_contract_keeps_the_dialect(contract: Contract) -> None:
    """The contract of the project breaks no rule."""
    assert lint(contract) == []


@pytest.mark.parametrize(
    ("rule", "path", "value"),
    BREAKS,
    ids=[f"{rule.__name__}-{index}" for index, (rule, _, _) in enumerate(BREAKS)],
)
def test_rule_finds_its_fault(
    document: dict[str, Any], rule: Any, path: str, value: object
) -> None:
    """The rule reports a contract with this single fault."""
    edit(document, path, value)
    assert list(rule(Contract(document, "")))


def test_every_rule_has_a_fault_that_it_finds() -> None:
    """Each rule has at least one fault in the table of this module."""
    assert {rule for rule, _, _ in BREAKS} == set(RULES)


def test_property_named_like_a_keyword_is_no_fault(document: dict[str, Any]) -> None:
    """Properties named `default` or `title` are names, not keywords."""
    for name in ("default", "title", "discriminator", "nullable"):
        edit(document, f"{JOB_INPUT}|properties|{name}", TEXT)
    assert lint(Contract(document, "")) == []


def test_lint_command_names_location_and_fix(
    document: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command prints one line for each fault and exits with status 1."""
    edit(document, f"{JOB_INPUT}|title", "New job")
    path = tmp_path / "contract.json"
    path.write_text(json.dumps(document))
    assert lint_contract.main([str(path)]) == 1
    assert capsys.readouterr().out == (
        "#/components/schemas/JobInput: has a title; use the description\n"
    )


def test_key_given_twice_is_refused() -> None:
    """A repeated key raises ContractError instead of replacing the first value."""
    with pytest.raises(ContractError, match="'openapi' is given twice"):
        parse_contract("openapi: 3.1.0\nopenapi: 3.1.0\n", "contract.yaml")


def test_reference_that_leads_nowhere_is_named(document: dict[str, Any]) -> None:
    """The message contains the text of a reference without a target."""
    lost = "#/components/responses/Lost"
    edit(document, f"{CREATE_JOB}|responses|409", {"$ref": lost})
    with pytest.raises(ContractError, match=lost):
        lint(Contract(document, ""))
