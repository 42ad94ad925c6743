"""Check that the contract uses only the part of OpenAPI that compiles without loss.

Exit status: 0 no findings, 1 findings or an error, 2 wrong usage.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.contract.dialect import RULES, lint
from scripts.contract.document import ContractError, read_contract
from scripts.contract.generation import check_validity
from scripts.project import CONTRACT_PATH, ROOT


def main(argv: Sequence[str] | None = None) -> int:
    """Print each finding on a line; return the exit status."""
    parser = argparse.ArgumentParser(prog="lint_contract", description=__doc__)
    parser.add_argument(
        "contract",
        nargs="?",
        type=Path,
        default=ROOT / CONTRACT_PATH,
        help="OpenAPI document to check (default: the project's own)",
    )
    options = parser.parse_args(argv)
    try:
        contract = read_contract(options.contract)
        check_validity(contract)
        findings = lint(contract)
    except ContractError as error:
        print(error, file=sys.stderr)
        return 1
    for finding in findings:
        print(finding)
    if not findings:
        print(f"The contract keeps all {len(RULES)} rules of the dialect.")
    return 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
