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
class Check:
    """One check.

    Attributes:
        title: Name of the check in the output.
        command: Python module and its arguments.
        slow: Whether `--quick` leaves the check out.
    """

    title: str
    command: tuple[str, ...]
    slow: bool = False


CHECKS = (
    Check("Format", ("ruff", "format", "--check", ".")),
    Check("Lint", ("ruff", "check", ".")),
    Check("Layers", ("scripts.layers",)),
    Check("Types", ("mypy", "--strict", *TYPED)),
    Check("Types in editors", ("pyright",), slow=True),
    Check("Generated files", ("scripts.regenerate", "--check")),
    Check("Contract of the last release", ("scripts.contract_changes",)),
)
QUICK_TESTS = ("tests/unit", "tests/contract")
SIDE_BY_SIDE = ("--numprocesses", "4", "--dist", "loadfile")
"""Options of pytest: four processes, since most tests wait.

All tests of a file run in the same process, so that its fixtures start once. Processes
without a file left wait about a hundredth of the run for the others.
"""


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
    checks = [check for check in CHECKS if not (options.quick and check.slow)]
    checks.append(Check("Tests", ("pytest", *tests)))
    failed = [check.title for check in checks if not passes(check)]
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def passes(check: Check) -> bool:
    """Run one check; return whether it passes."""
    print(f"== {check.title}: {' '.join(check.command)}", flush=True)
    began = time.monotonic()
    search_path = (sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath))
    status = subprocess.run(
        [sys.executable, "-P", "-m", *check.command],
        cwd=ROOT,
        env={
            **os.environ,
            "PATH": os.pathsep.join(search_path),
            # Blank counts as unset. Without cached bytecode, each of the thousands of
            # processes of the tests compiles the project again.
            "PYTHONDONTWRITEBYTECODE": "",
        },
        stdin=subprocess.DEVNULL,
        check=False,
    ).returncode
    verdict = "passed" if status == 0 else "FAILED"
    print(f"   {verdict} after {time.monotonic() - began:.1f} s", flush=True)
    return status == 0


if __name__ == "__main__":
    raise SystemExit(main())
