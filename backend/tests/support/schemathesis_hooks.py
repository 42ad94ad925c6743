"""What schemathesis cannot read in the contract.

Loaded by the test run, not by tests. JSON Schema cannot say that names are unique
across items, that a name is that of another item, that two members are equal where
both are given, nor that a time lies ahead: bodies that were meant to be good are made
so here. Bodies that were meant to be bad stay bad.
"""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_context: Any, value: Any) -> Any:
    """Send the bytes that were generated as they are."""
    return value if isinstance(value, bytes | str) else bytes(value)


@schemathesis.hook
def map_case(_context: Any, case: Any) -> Any:
    """Return the case with what the schema cannot say brought in order."""
    is_good = case.meta is not None and case.meta.generation.mode.is_positive
    _name_a_job(case.path_parameters or {})
    if case.headers:
        # Says how a body is packed, and none is.
        case.headers.pop("Content-Encoding", None)
    if is_good and isinstance(case.body, dict):
        _align_names(case.body)
        if isinstance(case.body.get("expires_at"), str):
            case.body["expires_at"] = "2999-12-31T00:00:00Z"
        for configuration in (case.body, case.body.get("configuration")):
            if isinstance(configuration, dict):
                _make_unique(configuration.get("step_configurations", []), "tag")
    return case


def _name_a_job(path_parameters: dict[str, Any]) -> None:
    """Put an id where a list of keys gave null for a key that is bound to no job."""
    if path_parameters.get("job_id", 1) in (None, "None"):
        path_parameters["job_id"] = 1


def _align_names(event: dict[str, Any]) -> None:
    if "provider_job_id" in event and "kind" in event and "tag" in event:
        event["name"] = event["tag"]


def _make_unique(items: list[dict[str, Any]], member: str) -> None:
    for place, item in enumerate(items):
        item[member] = str(place)
        if "after" in item:
            item["after"] = [str(earlier) for earlier in range(min(place, 100))]
        _make_unique(item.get("metadata_configurations", []), "name")
