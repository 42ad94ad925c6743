"""Answers of a later backend, parsed by the current client."""

from typing import Any

import pytest

from scripts.contract.document import Contract, Node, read_contract
from scripts.contract.walk import response_schemas
from scripts.project import CONTRACT_PATH, ROOT
from tests.support.contract_samples import model_of, sample

LATER = "a later value"
LATER_MEMBER = "member_of_a_later_backend"


def answer_models(contract: Contract) -> list[str]:
    """Return the names of the schemas that occur in answers."""
    names = {place.component for place in response_schemas(contract).values()}
    return sorted(
        name for name in names if name and "properties" in contract.schemas[name]
    )


def add_later_values(contract: Contract, schema: Node, value: Any) -> Any:
    """Return `value` as a later backend may send it.

    Every object has an additional member, every open enumeration an unknown value.
    """
    schema = contract.resolve(schema)
    choices = schema.get("anyOf", ())
    if {"type": "string"} in choices:
        return LATER
    if choices:
        return add_later_values(contract, choices[0], value)
    if isinstance(value, list):
        return [add_later_values(contract, schema["items"], each) for each in value]
    if not isinstance(value, dict) or "properties" not in schema:
        return value
    members = {
        name: add_later_values(contract, schema["properties"][name], each)
        for name, each in value.items()
    }
    return {**members, LATER_MEMBER: {"nested": [1]}}


def without_later_members(value: Any) -> Any:
    """Return `value` without the members that only a later backend sends."""
    if isinstance(value, list):
        return [without_later_members(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: without_later_members(each)
        for name, each in value.items()
        if name != LATER_MEMBER
    }


@pytest.mark.parametrize(
    "name", answer_models(read_contract(ROOT / CONTRACT_PATH)), ids=str
)
def test_answer_of_a_later_backend_is_read(contract: Contract, name: str) -> None:
    """Unknown members and values in an answer change no known member."""
    schema = contract.schemas[name]
    answer = add_later_values(contract, schema, sample(contract, schema, full=True))
    read = model_of(name).from_dict(answer).to_dict()
    assert without_later_members(read) == without_later_members(answer)


def test_unknown_status_is_returned_as_text(contract: Contract) -> None:
    """Unknown values of `status` and `finish` are returned as text."""
    schema = contract.schemas["Job"]
    answer = add_later_values(contract, schema, sample(contract, schema, full=True))
    job = model_of("Job").from_dict(answer)
    assert (job.status, job.steps[0].status, job.finish) == (LATER, LATER, LATER)
