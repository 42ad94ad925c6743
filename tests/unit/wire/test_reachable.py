"""Operations of the contract, and the calls of `wire/` that use them."""

import ast
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

import trackerapi
from tests.support.contract_document import Operation, operations

NOT_WRAPPED: Final = {
    "create_event": "import_events sends single events, too",
    "livez": "for operators of the backend: scripts have no use for it",
    "stream_job": "not generated: a generated call would read to the end",
    "readyz": "for operators of the backend: scripts have no use for it",
}
GENERATED: Final = [each for each in operations() if each.operation_id != "stream_job"]


def imported_by_wire() -> set[tuple[str, str]]:
    """Return group and operation of the generated calls that `wire/` imports."""
    wire = Path(trackerapi.__file__).parent / "wire"
    return {
        (node.module.rpartition(".")[2], name.name)
        for path in wire.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and node.module
        and node.module.startswith("trackerapi_client.api.")
        for name in node.names
    }


def test_every_operation_is_reached_or_listed_with_a_reason() -> None:
    """Each operation of the contract is called by `wire/` or listed with a reason."""
    reached = {operation for _, operation in imported_by_wire()}
    known = {operation.operation_id for operation in operations()}

    assert known - reached == NOT_WRAPPED.keys()
    assert reached <= known
    assert len(NOT_WRAPPED) <= 4


@pytest.mark.parametrize("operation", GENERATED, ids=lambda o: o.operation_id)
def test_generated_call_can_be_made_raw(operation: Operation) -> None:
    """Each operation has a generated module in the package of its group."""
    group = operation.tag.replace("-", "_")

    call = import_module(f"trackerapi_client.api.{group}.{operation.operation_id}")

    assert callable(call.sync)
    assert callable(call.asyncio)
