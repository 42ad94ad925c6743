"""Examples of the contract, checked by the schemas and parsed by the client."""

from typing import Any

import pytest

from scripts.contract.document import Contract, read_contract
from scripts.project import CONTRACT_PATH, ROOT
from tests.support.contract_samples import component_examples, model_of, schema_errors

EXAMPLES = list(component_examples(read_contract(ROOT / CONTRACT_PATH)))


@pytest.mark.parametrize(
    ("schema", "value"),
    [(schema, value) for _, schema, value in EXAMPLES],
    ids=[title for title, _, _ in EXAMPLES],
)
def test_example_is_valid_and_parses(
    contract: Contract, schema: str, value: dict[str, Any]
) -> None:
    """The example is valid; parsing and writing by the client keep its members."""
    reference = {"$ref": f"#/components/schemas/{schema}"}
    assert schema_errors(contract, reference, value) == []
    read_and_written = model_of(schema).from_dict(value).to_dict()
    assert read_and_written.keys() == value.keys()
    assert schema_errors(contract, reference, read_and_written) == []


def test_every_named_request_body_has_an_example(contract: Contract) -> None:
    """Each schema of a whole request body (`...Input`) has an example."""
    shown = {schema for _, schema, _ in EXAMPLES}
    bodies = {name for name in contract.schemas if name.endswith("Input")}
    nested = {"StepConfigurationInput"}
    assert bodies - nested <= shown
