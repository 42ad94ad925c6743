"""Size of classes, depth of inheritance and loose modules of both packages."""

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from scripts.project import ROOT

PACKAGES: Final = (ROOT / "trackerapi", ROOT / "backend/trackerapi_backend")
MAX_CLASS_LINES: Final = 400
MAX_LEVELS_ABOVE: Final = 2
MAX_LOOSE_MODULES: Final = 16


@dataclass(frozen=True, slots=True)
class Class:
    """A class of a package.

    Attributes:
        name: Dotted name with the module.
        line_count: Number of lines without docstrings.
        bases: Dotted names of the bases, as far as they can be resolved.
    """

    name: str
    line_count: int
    bases: tuple[str, ...]


def docstring_lines(node: ast.ClassDef) -> int:
    """Return the number of docstring lines of a class and its methods."""
    documented = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return sum(
        (each.body[0].end_lineno or 0) - each.body[0].lineno + 1
        for each in ast.walk(node)
        if isinstance(each, documented) and ast.get_docstring(each) is not None
    )


def imported_names(tree: ast.Module) -> dict[str, str]:
    """Return the dotted names of imported members and modules, by their local names."""
    return {
        name.asname or name.name: f"{node.module}.{name.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    } | {
        name.asname: name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in node.names
        if name.asname
    }


def resolve(base: str, known: dict[str, str]) -> str:
    """Return the dotted name of a base, for both `Base` and `module.Base`."""
    first, dot, rest = base.partition(".")
    return known.get(first, first) + dot + rest


def classes_of_module(path: Path, package: Path) -> Iterator[Class]:
    """Yield the classes of a module."""
    tree = ast.parse(path.read_text())
    module = ".".join(path.relative_to(package.parent).with_suffix("").parts)
    known = imported_names(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        lines = (node.end_lineno or 0) - node.lineno + 1 - docstring_lines(node)
        # `Base[int]` has the base `Base`.
        bases = [ast.unparse(base).partition("[")[0] for base in node.bases]
        resolved = tuple(resolve(base, known) for base in bases)
        # Set after the bases are resolved: a class may have the name of an imported
        # base.
        known[node.name] = f"{module}.{node.name}"
        yield Class(known[node.name], lines, resolved)


@functools.cache
def classes_of(package: Path) -> dict[str, Class]:
    """Return the hand-written classes of a package by their dotted names."""
    return {
        each.name: each
        for path in sorted(package.rglob("*.py"))
        if "generated" not in path.parts
        for each in classes_of_module(path, package)
    }


def with_own_bases(name: str, classes: dict[str, Class]) -> dict[str, int]:
    """Return each own base of a class with its number of levels above the class.

    Own bases are those in `classes`. The class itself is included, with level 0.
    """
    levels = {name: 0}
    pending = [name]
    for current in pending:
        for base in classes[current].bases:
            if base in classes and levels.get(base, -1) <= levels[current]:
                levels[base] = levels[current] + 1
                pending.append(base)
    return levels


def whole_line_count(name: str, classes: dict[str, Class]) -> int:
    """Return the number of lines of a class together with its own bases."""
    return sum(classes[each].line_count for each in with_own_bases(name, classes))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_class_with_its_own_bases_is_small(package: Path) -> None:
    """A class with its own bases has at most 400 lines without docstrings."""
    classes = classes_of(package)
    sizes = {name: whole_line_count(name, classes) for name in classes}

    assert len(sizes) > 40
    assert {n: size for n, size in sizes.items() if size > MAX_CLASS_LINES} == {}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_chain_of_own_inheritance_is_short(package: Path) -> None:
    """A class has at most two levels of classes of its package above it."""
    classes = classes_of(package)
    levels = {name: max(with_own_bases(name, classes).values()) for name in classes}

    assert {n: level for n, level in levels.items() if level > MAX_LEVELS_ABOVE} == {}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_package_folder_has_few_loose_modules(package: Path) -> None:
    """At most 16 modules lie in the package folder: others belong to a subpackage."""
    loose = {path.stem for path in package.glob("*.py")} - {"__init__", "__main__"}

    assert len(loose) <= MAX_LOOSE_MODULES


def test_bases_of_other_modules_count(tmp_path: Path) -> None:
    """Lines and levels of a class include bases that it imports."""
    package = tmp_path / "house"
    package.mkdir()
    (package / "roof.py").write_text("class Roof(Exception):\n    tiles = 1\n")
    (package / "wall.py").write_text(
        "from house.roof import Roof as Top\n"
        "class Wall(Top):\n"
        '    """A wall.\n\n    Of bricks.\n    """\n'
        "    bricks = 2\n"
        "class Door(Wall):\n"
        "    handle = 3\n"
    )

    classes = classes_of(package)

    levels = {"house.wall.Door": 0, "house.wall.Wall": 1, "house.roof.Roof": 2}
    assert with_own_bases("house.wall.Door", classes) == levels
    assert whole_line_count("house.wall.Door", classes) == 2 + 2 + 2
