"""Layout of the tests: folders, helpers and imports.

`CONTRIBUTING.md` describes each folder.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from scripts.project import ROOT

TESTS: Final = ROOT / "tests"
MODULES: Final = sorted([*TESTS.rglob("*.py"), *(ROOT / "backend/tests").rglob("*.py")])
UNIT_MODULES: Final = sorted((TESTS / "unit").rglob("*.py"))
STARTS_PROCESSES: Final = {
    "asyncio.create_subprocess_exec",
    "asyncio.create_subprocess_shell",
    "concurrent.futures.ProcessPoolExecutor",
    "multiprocessing",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawnv",
    "os.system",
    "pty",
    "subprocess",
    "tests.support.ended_scripts",
    "tests.support.running_backend",
    "tests.support.scripts",
    "trackerapi_backend",
}
"""Modules and functions by which a test starts a process or reaches a backend."""


def names_used(path: Path) -> Iterator[str]:
    """Yield the modules, their members and the attributes that a module uses."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Attribute):
            yield ast.unparse(node)


def relative(path: Path) -> str:
    """Return a path below the work tree, as the id of a test."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_module_imports_a_test_module(path: Path) -> None:
    """Helpers of several test modules live in a folder `support`."""
    packages = ("tests.", "backend.tests.")
    foreign = [name for name in names_used(path) if name.startswith(packages)]

    assert [
        name
        for name in foreign
        if any(part.startswith(("test_", "conftest")) for part in name.split("."))
    ] == []


@pytest.mark.parametrize("path", UNIT_MODULES, ids=relative)
def test_unit_test_starts_no_process(path: Path) -> None:
    """Tests that start a process or reach a backend live outside of tests/unit."""
    used = {
        start
        for name in names_used(path)
        for start in STARTS_PROCESSES
        if name == start or name.startswith(f"{start}.")
    }

    assert used == set()


@pytest.mark.parametrize("path", UNIT_MODULES, ids=relative)
def test_unit_test_takes_no_fixture_of_the_backend(path: Path) -> None:
    """Fixtures with a real backend are for tests outside of tests/unit."""
    parameters = {
        argument.arg
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for argument in (*node.args.posonlyargs, *node.args.args)
    }

    assert not parameters & {"backend", "gateway", "scripts"}


def test_helpers_live_in_the_folder_support() -> None:
    """Folders of tests contain only test modules and conftest.py."""
    outside = [
        relative(path)
        for path in TESTS.rglob("*.py")
        if not path.stem.startswith(("test_", "conftest"))
        and path.relative_to(TESTS).parts[0] not in {"support", "typing"}
    ]

    assert outside == []


def test_unit_tests_mirror_the_packages() -> None:
    """Each folder below tests/unit and tests/processes is a package of the library."""
    folders = {
        path.parent.relative_to(TESTS / kind)
        for kind in ("unit", "processes")
        for path in (TESTS / kind).rglob("test_*.py")
    }

    missing = [each for each in folders if not (ROOT / "trackerapi" / each).is_dir()]
    assert missing == []
