"""Hold the contract to what the last release promised.

Exit status: 0 nothing breaks, 1 something breaks, 2 wrong usage.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.contract.change import Change
from scripts.contract.changes import compare
from scripts.contract.document import ContractError, read_contract
from scripts.project import BASELINE_PATH, CONTRACT_PATH, ROOT


def main(argv: Sequence[str] | None = None) -> int:
    """Print each change on a line; return the exit status."""
    parser = argparse.ArgumentParser(prog="contract_changes", description=__doc__)
    parser.add_argument(
        "--record",
        action="store_true",
        help="make the contract as it is the promise; done at each release",
    )
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    try:
        contract = read_contract(options.root / CONTRACT_PATH)
        baseline = options.root / BASELINE_PATH
        if options.record:
            baseline.write_text(
                json.dumps(contract.document, indent=1) + "\n", encoding="utf-8"
            )
            print(f"{BASELINE_PATH} holds the contract as it is.")
            return 0
        return tell(compare(read_contract(baseline), contract))
    except ContractError as error:
        print(error, file=sys.stderr)
        return 1


def tell(changes: Sequence[Change]) -> int:
    """Print the changes; return the exit status."""
    for change in changes:
        print(change)
    broken = sum(change.breaking for change in changes)
    if broken:
        print(f"{broken} changes break the promise of {BASELINE_PATH}: take them back.")
        return 1
    print(f"The contract keeps the promise of {BASELINE_PATH}.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
