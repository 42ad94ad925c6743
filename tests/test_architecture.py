"""Structure of the code: foreign packages, pure modules, sizes and names.

The layers are contracts of import-linter in `pyproject.toml`.
"""

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

import trackerapi
from scripts.project import ROOT

LIBRARY: Final = ROOT / "trackerapi"
BACKEND: Final = ROOT / "backend/trackerapi_backend"
MAX_LINES: Final = 500


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module.

    Attributes:
        path: File with the import.
        is_lazy: Whether the import is inside a function.
    """

    path: Path
    module: str
    is_lazy: bool

    @property
    def package(self) -> str:
        """Top-level package of the module."""
        return self.module.partition(".")[0]


def modules_under(folder: Path) -> list[Path]:
    """Return the hand-written modules below `folder`."""
    return sorted(
        path
        for path in folder.rglob("*.py")
        # `.peers` has the environments of the benchmarks.
        if not {"generated", ".peers"} & set(path.relative_to(ROOT).parts)
    )


def imports_of(path: Path) -> Iterator[Import]:
    """Yield the imports of a module, except those for type checkers only."""
    yield from _imports(ast.parse(path.read_text()), path, is_lazy=False)


def _imports(node: ast.AST, path: Path, *, is_lazy: bool) -> Iterator[Import]:
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        for name in node.names:
            yield Import(path, name.name, is_lazy)
    if isinstance(node, ast.ImportFrom):
        for name in node.names:
            yield Import(path, f"{node.module}.{name.name}", is_lazy)
    is_lazy = is_lazy or isinstance(node, ast.FunctionDef)
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, path, is_lazy=is_lazy)


LIBRARY_IMPORTS: Final = [i for p in modules_under(LIBRARY) for i in imports_of(p)]
BACKEND_IMPORTS: Final = [i for p in modules_under(BACKEND) for i in imports_of(p)]


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_document_names_no_missing_file(document: str) -> None:
    """Each path in backquotes exists, below the work tree or below a package."""
    text = (ROOT / document).read_text()
    paths = re.findall(r"`([\w/.-]*(?:/|\.(?:py|sh|json|yaml)))`", text)
    roots = (ROOT, LIBRARY, BACKEND, BACKEND / "store", ROOT / "scripts")

    assert paths
    assert [p for p in paths if not any((root / p).exists() for root in roots)] == []


@pytest.mark.parametrize("package", ["trackerapi", "trackerapi_backend"])
def test_drawing_shows_the_layers_of_the_contract(package: str) -> None:
    """The drawing of a program in ARCHITECTURE.md has the rows of its contract."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    [layers] = [
        each["layers"] for each in contracts if each.get("containers") == [package]
    ]
    text = (ROOT / "ARCHITECTURE.md").read_text()
    drawing = re.search(rf"`[\w/]*\b{package}/`:\n\n```\n(.*?)\n```", text, re.DOTALL)

    assert drawing is not None
    rows = [re.split(r"\s{2,}", line)[0] for line in drawing[1].splitlines()]
    assert [row for row in rows if row] == layers


def test_only_wire_imports_httpx_and_the_generated_client() -> None:
    """Only `trackerapi/wire/` imports HTTP packages and the generated client."""
    http = {"httpx", "httpcore", "attrs", "trackerapi_client"}
    importers = {one.path.parent for one in LIBRARY_IMPORTS if one.package in http}

    assert importers == {LIBRARY / "wire"}


def test_only_file_models_imports_pydantic() -> None:
    """Only `config/file_models.py` imports pydantic; only functions import it."""
    importers = {
        one.path
        for one in LIBRARY_IMPORTS
        if one.package in {"pydantic", "pydantic_core"}
    }
    loaders = [one for one in LIBRARY_IMPORTS if "file_models" in one.module.split(".")]

    assert importers == {LIBRARY / "config/file_models.py"}
    assert loaders
    assert all(one.is_lazy for one in loaders)


@pytest.mark.parametrize(
    ("foreign", "importer"),
    [
        ("argcomplete", "cli/completion_words.py"),
        ("rich", "view/live.py"),
        ("tqdm", "integrations/tqdm.py"),
    ],
)
def test_optional_package_has_one_importer(foreign: str, importer: str) -> None:
    """One module imports the optional package; only functions import this module."""
    importers = {one.path for one in LIBRARY_IMPORTS if one.package == foreign}
    module = f"trackerapi.{importer.removesuffix('.py').replace('/', '.')}"
    loaders = [one for one in LIBRARY_IMPORTS if one.module.startswith(module)]

    assert importers == {LIBRARY / importer}
    assert all(one.is_lazy for one in loaders)


def test_wire_is_imported_inside_functions_only() -> None:
    """Modules outside `trackerapi/wire/` import `wire` inside functions only."""
    wire = LIBRARY / "wire"
    loaders = [
        one
        for one in LIBRARY_IMPORTS
        if one.module.startswith("trackerapi.wire") and one.path.parent != wire
    ]

    assert loaders
    assert all(one.is_lazy for one in loaders)


def test_only_the_plugin_imports_pytest() -> None:
    """Only `testing/plugin.py` imports pytest: `FakeTracker` works without pytest."""
    importers = {one.path for one in LIBRARY_IMPORTS if one.package == "pytest"}

    assert importers == {LIBRARY / "testing/plugin.py"}


PURE: Final = [
    LIBRARY / "retry.py",
    BACKEND / "projection/job.py",
    BACKEND / "projection/kinds.py",
    BACKEND / "projection/pauses.py",
    BACKEND / "projection/statuses.py",
    BACKEND / "projection/step.py",
]


@pytest.mark.parametrize("path", PURE)
def test_pure_module_reads_no_clock_and_does_no_io(path: Path) -> None:
    """A pure module imports pure packages only and calls no clock and no I/O."""
    pure = {"__future__", "collections", "dataclasses", "datetime", "email"}
    pure |= {"enum", "heapq", "math", "operator", "re", "typing"}
    impure = {"now", "utcnow", "today", "open", "print", "input"}
    calls = {
        ast.unparse(node.func).rpartition(".")[2]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    }

    neighbours = {f"{BACKEND.name}.projection.{each.stem}" for each in PURE}
    others = {
        one.package
        for one in imports_of(path)
        if one.module.rpartition(".")[0] not in neighbours
    }
    assert others <= pure
    assert not calls & impure


HAND_WRITTEN: Final = [
    path
    for folder in (
        LIBRARY,
        BACKEND,
        ROOT / "scripts",
        ROOT / "demo",
        ROOT / "benchmarks",
    )
    for path in modules_under(folder)
]


@pytest.mark.parametrize(
    "path", HAND_WRITTEN, ids=lambda path: str(path.relative_to(ROOT))
)
def test_long_module_gives_its_reason(path: Path) -> None:
    """The docstring of a module above 500 lines has a sentence "Long: ..."."""
    text = path.read_text()
    if len(text.splitlines()) > MAX_LINES:
        assert "Long: " in (ast.get_docstring(ast.parse(text)) or "")


def test_no_module_has_a_vague_name() -> None:
    """No module has a name such as `utils` or `helpers`."""
    vague = {"base", "common", "helpers", "helper", "misc", "util", "utils"}

    assert not [path for path in HAND_WRITTEN if path.stem in vague]


def test_no_class_has_a_vague_name() -> None:
    """Only two classes have a name that ends in Manager, Handler or Helper."""
    vague = ("Manager", "Handler", "Helper")
    classes = {
        node.name
        for path in HAND_WRITTEN
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }

    # The first tutorial uses JobConfigManager; classes of `logging` end in Handler.
    named = {name for name in classes if name.endswith(vague)}
    assert named == {"JobConfigManager", "TrackerHandler"}


def public_objects() -> Iterator[tuple[str, object]]:
    """Yield the public names of the package and the public members of its classes."""
    for name in trackerapi.__all__:
        thing = getattr(trackerapi, name)
        yield name, thing
        for member, value in vars(thing).items():
            if not member.startswith("_") and (
                inspect.isfunction(value) or isinstance(value, property)
            ):
                yield f"{name}.{member}", value


@pytest.mark.parametrize(("name", "thing"), list(public_objects()))
def test_public_name_is_documented(name: str, thing: object) -> None:
    """Each public name of the package has a docstring."""
    assert inspect.getdoc(thing), name
