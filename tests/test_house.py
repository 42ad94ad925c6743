"""Sizes of the code: classes with their bases, inheritance, modules in a package."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = (ROOT / "trackerapi", ROOT / "backend/trackerapi_backend")
MAX_CLASS_LINES: Final = 400
MAX_LEVELS: Final = 3
MAX_LOOSE_MODULES: Final = 16


class Class(NamedTuple):
    """A class of a package, its lines without docstrings, and names of its bases."""

    name: str
    line_count: int
    bases: tuple[str, ...]


def classes_of(package: Path) -> dict[str, Class]:
    """Return the hand-written classes of a package by name."""
    return {
        each.name: each
        for path in sorted(package.rglob("*.py"))
        if "generated" not in path.parts
        for each in _classes(ast.parse(path.read_text()))
    }


def _classes(module: ast.Module) -> Iterator[Class]:
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef):
            assert node.end_lineno is not None
            line_count = node.end_lineno - node.lineno + 1 - _docstring_lines(node)
            bases = [ast.unparse(base).partition("[")[0] for base in node.bases]
            yield Class(
                node.name, line_count, tuple(base.split(".")[-1] for base in bases)
            )


def _docstring_lines(node: ast.ClassDef) -> int:
    documented = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    holders = [each for each in ast.walk(node) if isinstance(each, documented)]
    docstrings = [
        each.body[0] for each in holders if ast.get_docstring(each, clean=False)
    ]
    return sum((each.end_lineno or 0) - each.lineno + 1 for each in docstrings)


def total_lines(name: str, classes: dict[str, Class]) -> int:
    """Return the lines of a class and of all its own bases."""
    if name not in classes:
        return 0
    each = classes[name]
    return each.line_count + sum(total_lines(base, classes) for base in each.bases)


def levels(name: str, classes: dict[str, Class]) -> int:
    """Return the length of the longest chain of own classes that ends in a class."""
    if name not in classes:
        return 0
    bases = classes[name].bases
    return 1 + max((levels(base, classes) for base in bases), default=0)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_class_with_its_own_bases_is_short(package: Path) -> None:
    """A class and its own bases have at most 400 lines without docstrings."""
    classes = classes_of(package)
    sizes = {name: total_lines(name, classes) for name in classes}

    assert sizes
    assert {n: size for n, size in sizes.items() if size > MAX_CLASS_LINES} == {}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_inheritance_is_shallow(package: Path) -> None:
    """A class has at most two levels of own classes above it."""
    classes = classes_of(package)

    assert [name for name in classes if levels(name, classes) > MAX_LEVELS] == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_package_has_few_loose_modules(package: Path) -> None:
    """At most 16 modules lie directly in the folder of a package."""
    loose = [path.stem for path in package.glob("*.py") if path.stem[:2] != "__"]

    assert 0 < len(loose) <= MAX_LOOSE_MODULES
