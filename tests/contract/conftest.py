"""Fixtures of contract tests: contract, editable document, copy of the work tree."""

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest

from scripts.contract.document import Contract, read_contract
from scripts.project import CONTRACT_PATH, ROOT

COPIED = (
    "backend/trackerapi_backend/generated",
    "constraints.txt",
    "generated_client",
    "openapi",
    "schemas",
    "trackerapi",
)


@pytest.fixture(scope="session")
def contract() -> Contract:
    """Return the contract of the work tree."""
    return read_contract(ROOT / CONTRACT_PATH)


@pytest.fixture
def document(contract: Contract) -> dict[str, Any]:
    """Return a copy of the contract's document that a test may change."""
    written: dict[str, Any] = copy.deepcopy(contract.document)  # type: ignore[arg-type]
    return written


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of the files that `scripts/regenerate.sh` reads and writes."""
    root = tmp_path / "tree"
    for name in COPIED:
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, target)
        else:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, target, ignore=ignored)
    return root
