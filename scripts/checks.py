"""All checks that a change must pass, one after the other.

All checks run, even after a failed check. Arguments after `--` are passed to pytest,
which runs last.

Exit status: 0 all checks passed, 1 a check failed, 2 wrong usage.
"""

import argparse
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.project import ROOT

TYPED = (
    "trackerapi",
    "backend/trackerapi_backend",
    "generated_client/trackerapi_client",
    "scripts",
    "demo",
    "benchmarks",
    "tests/typing",
)


@dataclass(frozen=True, slots=True)
class Part:
    """One check.

    Attributes:
        title: Name of the check in the output.
        command: Python module and its arguments.
        slow: Whether `--quick` leaves the check out.
    """

    title: str
    command: tuple[str, ...]
    slow: bool = False


PARTS = (
    Part("Format", ("ruff", "format", "--check", ".")),
    Part("Lint", ("ruff", "check", ".")),
    Part("Layers", ("scripts.layers",)),
    Part("Types", ("mypy", "--strict", *TYPED)),
    Part("Types in editors", ("pyright",), slow=True),
    Part("Generated files", ("scripts.regenerate", "--check")),
    Part("Contract of the last release", ("scripts.contract_changes",)),
)
QUICK_TESTS = ("tests/unit", "tests/contract")
SIDE_BY_SIDE = ("--numprocesses", "3", "--dist", "loadfile")
"""Options of pytest: three processes, because many tests wait; one for each file."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run all checks; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/test.sh", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="leave out slow checks: pyright, tests with processes or a backend",
    )
    parser.add_argument(
        "pytest_arguments", nargs="*", help="arguments of pytest, after --"
    )
    options = parser.parse_args(argv)
    # With arguments, pytest runs in one process: its output then appears immediately.
    tests = (
        *(options.pytest_arguments or SIDE_BY_SIDE),
        *(QUICK_TESTS if options.quick else ()),
    )
    parts = [part for part in PARTS if not (options.quick and part.slow)]
    parts.append(Part("Tests", ("pytest", *tests)))
    failed = [part.title for part in parts if not holds(part)]
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def holds(part: Part) -> bool:
    """Run one check; return whether it passes."""
    print(f"== {part.title}: {' '.join(part.command)}", flush=True)
    began = time.monotonic()
    search_path = (sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath))
    status = subprocess.run(
        [sys.executable, "-P", "-m", *part.command],
        cwd=ROOT,
        env={**os.environ, "PATH": os.pathsep.join(search_path)},
        stdin=subprocess.DEVNULL,
        check=False,
    ).returncode
    verdict = "passed" if status == 0 else "FAILED"
    print(f"   {verdict} after {time.monotonic() - began:.1f} s", flush=True)
    return status == 0


if __name__ == "__main__":
    raise SystemExit(main())
