"""Completeness of the failure table: each row is tested in both modes."""

import ast
from pathlib import Path

from scripts.project import ROOT
from tests.support.failure_table import MODES, ROWS


def marked_tests(path: Path) -> list[tuple[str, tuple[str, ...], str]]:
    """Return row, modes and docstring of each test with the mark `in_row`."""
    return [
        (row, tuple(modes) or MODES, ast.get_docstring(test) or "")
        for test in ast.parse(path.read_text()).body
        if isinstance(test, ast.FunctionDef)
        for mark in test.decorator_list
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "in_row"
        for row, *modes in [[ast.literal_eval(argument) for argument in mark.args]]
    ]


def test_every_row_has_tests_in_both_modes() -> None:
    """Each row has tests in both modes; their docstrings begin with the row."""
    tests = [
        marked
        for path in sorted((ROOT / "tests/processes").rglob("test_*.py"))
        for marked in marked_tests(path)
    ]

    assert [doc for row, _, doc in tests if not doc.startswith(ROWS[row])] == []
    covered = {(row, mode) for row, modes, _ in tests for mode in modes}
    assert covered == {(row, mode) for row in ROWS for mode in MODES}
