"""Compile the contract into the client, the backend's types and the schemas.

Exit status: 0 done or nothing to do, 1 a difference or an error, 2 wrong usage.
"""

import argparse
import fcntl
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.contract.change import Change
from scripts.contract.changes import compare
from scripts.contract.document import (
    Contract,
    ContractError,
    fetch_contract,
    read_contract,
)
from scripts.contract.generation import check_validity, generate
from scripts.contract.outputs import OUTPUTS, differences, replace, report
from scripts.contract.rewriting import as_checked_in
from scripts.project import CONTRACT_PATH, ROOT

WORKSHOP_PREFIX = "regenerate-"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/regenerate.sh",
        description="Compile the contract into all generated files.",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit 1 if a generated file is missing, edited or stale",
    )
    parser.add_argument(
        "--spec",
        metavar="FILE|URL",
        help="compare our contract with that of a deployed backend, for example",
    )
    parser.add_argument(
        "--accept",
        action="store_true",
        help="with --spec: replace our contract by that contract, and regenerate",
    )
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = build_parser()
    options = parser.parse_args(argv)
    if options.spec is not None and not options.spec.strip():
        parser.error("--spec is blank; name a file or an address")
    if options.accept and not options.spec:
        parser.error("--accept needs --spec")
    if options.check and options.spec:
        parser.error("--check and --spec exclude each other")
    root = options.root.resolve()
    try:
        ours = read_contract(root / CONTRACT_PATH)
        if options.check:
            return check_outputs(ours, root)
        if not options.spec:
            return write_outputs(ours, root)
        theirs = fetch_contract(options.spec)
        if not options.accept:
            return print_differences(ours, theirs)
        return write_outputs(as_checked_in(theirs, ours), root)
    except ContractError as error:
        print(error, file=sys.stderr)
        return 1


def check_outputs(contract: Contract, root: Path) -> int:
    """Print missing, edited or stale generated files; return the exit status."""
    # Generate outside the work tree: a check must not change the work tree.
    with tempfile.TemporaryDirectory() as workshop:
        found = differences(generate(contract, root, Path(workshop)), root)
    if not found:
        print("Generated files match the contract.")
        return 0
    print(report(found))
    print(f"{len(found)} generated files differ. To fix: scripts/regenerate.sh")
    return 1


def write_outputs(contract: Contract, root: Path) -> int:
    """Replace the generated files, and the contract if its text differs."""
    with _exclusive_run(root), _workshop(root) as workshop:
        fresh = generate(contract, root, workshop)
        found = differences(fresh, root)
        paths = list(OUTPUTS)
        if contract.text != (root / CONTRACT_PATH).read_text(encoding="utf-8"):
            (fresh / CONTRACT_PATH).write_text(contract.text, encoding="utf-8")
            paths.append(CONTRACT_PATH)
        if found or len(paths) > len(OUTPUTS):
            replace(fresh, root, workshop / "attic", paths)
    for each in found:
        print(f"Fixed ({each.fault}): {each.path}")
    print(f"Generated files match the contract; {len(found)} changed.")
    return 0


def print_differences(ours: Contract, theirs: Contract) -> int:
    """Print the changes from `ours` to `theirs`; return the exit status."""
    check_validity(theirs)
    changes = compare(ours, theirs)
    if not changes:
        print("The contracts are equivalent.")
        if ours.document != theirs.document:
            print("They differ only in descriptions, examples or hosts.")
        return 0
    print_changes(changes)
    print("Nothing was written. To replace our contract: add --accept")
    return 1


def print_changes(changes: Sequence[Change]) -> None:
    """Print the breaking changes first, then the others."""
    for change in sorted(changes, key=lambda each: not each.breaking):
        print(change)


@contextmanager
def _exclusive_run(root: Path) -> Iterator[None]:
    """Wait until no other regeneration writes to the same work tree."""
    folder = os.open((root / CONTRACT_PATH).parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


@contextmanager
def _workshop(root: Path) -> Iterator[Path]:
    """Yield a temporary folder on the file system of the work tree.

    Also deletes the folders of killed runs: call while no other regeneration runs.
    """
    build = root / "build"
    build.mkdir(exist_ok=True)
    for leftover in build.glob(f"{WORKSHOP_PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=WORKSHOP_PREFIX, dir=build) as folder:
        yield Path(folder)


def _exit_on_signal(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    # Turn signals into SystemExit: `with` blocks then delete the temporary folder and
    # kill the generators that this process has started.
    for each in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(each, _exit_on_signal)
    raise SystemExit(main())
