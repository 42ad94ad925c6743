"""Comparison of the contract with the baseline: the contract of the last release.

Exit status: 0 no breaking change, 1 a breaking change or an error, 2 wrong usage.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.contract.change import Change
from scripts.contract.changes import compare
from scripts.contract.document import Contract, ContractError, read_contract
from scripts.contract.generation import check_validity
from scripts.project import (
    BASELINE_DIGEST_PATH,
    BASELINE_PATH,
    CONTRACT_PATH,
    ROOT,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Print each change on a line; return the exit status."""
    parser = argparse.ArgumentParser(prog="contract_changes", description=__doc__)
    parser.add_argument(
        "--record",
        action="store_true",
        help="write the present contract as the baseline; done at each release",
    )
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    try:
        contract = read_contract(options.root / CONTRACT_PATH)
        check_validity(contract)
        if options.record:
            record(contract, options.root)
            return 0
        return print_changes(compare(read_baseline(options.root), contract))
    except ContractError as error:
        print(error, file=sys.stderr)
        return 1


def record(contract: Contract, root: Path) -> None:
    """Write a contract as the baseline, with its digest in a file beside it."""
    content = (json.dumps(contract.document, indent=1) + "\n").encode()
    (root / BASELINE_PATH).write_bytes(content)
    (root / BASELINE_DIGEST_PATH).write_text(_digest_line(content), encoding="ascii")
    print(f"{BASELINE_PATH} contains the present contract.")


def read_baseline(root: Path) -> Contract:
    """Return the contract of the last release, which is the baseline.

    Raises:
        ContractError: If the baseline cannot be read, or does not match its digest.
    """
    baseline = read_contract(root / BASELINE_PATH)
    try:
        recorded = (root / BASELINE_DIGEST_PATH).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(
            f"{BASELINE_DIGEST_PATH} cannot be read: {error}"
        ) from error
    if recorded != _digest_line((root / BASELINE_PATH).read_bytes()):
        raise ContractError(
            f"{BASELINE_PATH} does not match its digest: restore it and"
            f" {BASELINE_DIGEST_PATH} from the last release"
        )
    return baseline


def _digest_line(content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()}  {BASELINE_PATH.name}\n"


def print_changes(changes: Sequence[Change]) -> int:
    """Print the changes; return the exit status."""
    for change in changes:
        print(change)
    broken = sum(change.breaking for change in changes)
    if broken:
        print(f"{broken} breaking changes since {BASELINE_PATH}: revert them.")
        return 1
    print(f"The contract has no breaking change since {BASELINE_PATH}.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
