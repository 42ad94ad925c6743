"""Pinned versions of the tools whose output is checked in.

The versions are read from `constraints.txt`.
"""

import re
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

from scripts.contract.document import ContractError
from scripts.project import CONSTRAINTS_PATH

PINNED_TOOLS = ("datamodel-code-generator", "openapi-python-client", "ruff")
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)$", re.MULTILINE)


def pinned_versions(root: Path) -> dict[str, str]:
    """Return the pinned version of each tool, by name.

    Raises:
        ContractError: If a tool is not pinned or another version is installed;
            the message names the tool and both versions.
    """
    constraints = (root / CONSTRAINTS_PATH).read_text(encoding="utf-8")
    pins = {name.lower(): pinned for name, pinned in PIN.findall(constraints)}
    for tool in PINNED_TOOLS:
        if tool not in pins:
            raise ContractError(f"{CONSTRAINTS_PATH} does not pin {tool}; add {tool}==")
        found = _find_version(tool)
        if found != pins[tool]:
            raise ContractError(
                f"{tool} {found or 'not'} found, {pins[tool]} needed: run"
                " scripts/setup.sh"
            )
    return {tool: pins[tool] for tool in PINNED_TOOLS}


def _find_version(tool: str) -> str | None:
    try:
        return installed_version(tool)
    except PackageNotFoundError:
        return None
