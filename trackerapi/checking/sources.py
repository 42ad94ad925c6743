"""What a script says about files: its configurations, and modules beside it."""

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MOST_MODULES: Final = 200
_PACKAGE: Final = "trackerapi"
_UNCHANGED: Final = frozenset({"resolve", "absolute", "expanduser", "abspath", "str"})


@dataclass(frozen=True, slots=True)
class Named:
    """What a script says about its configurations.

    Attributes:
        files: Files that it names, as far as reading tells.
        has_others: Whether it makes configurations in code.
    """

    files: tuple[Path, ...]
    has_others: bool


def parsed(source: bytes, name: str) -> ast.Module:
    """Return what a script says; what Python would warn of is not told.

    Raises:
        SyntaxError: If it is no Python.
        ValueError: If it holds a NUL.
        RecursionError: If it is nested too deeply; or else MemoryError.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source, name)


def named_configs(tree: ast.Module, script: Path) -> Named:
    """Return what a script says about its configurations.

    Args:
        tree: The script.
        script: Its path, for names that begin at `__file__`.
    """
    names = _simple_names(tree)
    files: dict[Path, None] = {}
    has_others = False
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = _last_name(node.func)
        has_others |= called in {"JobConfig", "add_job_config"}
        if called != "JobConfigManager":
            continue
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        has_others |= "configs" in named or None in named or len(node.args) > 1
        file = named.get("configurations_file") or next(iter(node.args), None)
        path = _path_of(file, names, script) if file is not None else None
        if path is not None:
            files[path] = None
    return Named(tuple(files), has_others)


def uses_library_elsewhere(tree: ast.Module, folders: list[Path]) -> bool:
    """Tell whether a script imports modules beside it that use this library too.

    They may report steps of the current job, which reading the script does not show.

    Args:
        tree: The script.
        folders: Where its modules may be.
    """
    seen: set[Path] = set()
    waiting = list(_modules_beside(tree, folders))
    while waiting and len(seen) < MOST_MODULES:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        inner = _parsed(path)
        if inner is None or _imports_library(inner):
            return True
        waiting.extend(_modules_beside(inner, [path.parent, *folders]))
    return bool(waiting)


def _imports_library(tree: ast.Module) -> bool:
    return any(name.split(".")[0] == _PACKAGE for name, _ in _imported(tree))


def _imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Walk the modules that a script imports, and how many folders up they begin."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield module, node.level
            for alias in node.names:
                yield f"{module}.{alias.name}".lstrip("."), node.level


def _modules_beside(tree: ast.Module, folders: list[Path]) -> Iterator[Path]:
    for name, level in _imported(tree):
        if not name or name.split(".")[0] == _PACKAGE:
            continue
        for folder in folders:
            start = folder
            for _ in range(level - 1):
                start = start.parent
            place = start.joinpath(*name.split("."))
            candidates = (place.with_suffix(".py"), place / "__init__.py")
            yield from (path for path in candidates if path.is_file())


def _parsed(path: Path) -> ast.Module | None:
    try:
        return parsed(path.read_bytes(), str(path))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _simple_names(tree: ast.Module) -> dict[str, ast.expr]:
    """Return the names that a script assigns once, and what it assigns."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(node.value)
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _path_of(node: ast.expr, names: dict[str, ast.expr], script: Path) -> Path | None:
    """Return the path that an expression stands for; None if reading does not tell."""
    match node:
        case ast.Constant(value=str() as text):
            return Path(text)
        case ast.Name(id="__file__"):
            return script.absolute()
        case ast.Name(id=name) if name in names:
            others = {key: value for key, value in names.items() if key != name}
            return _path_of(names[name], others, script)
        case ast.Attribute(value=inner, attr="parent"):
            path = _path_of(inner, names, script)
            return path.parent if path else None
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _together([left, right], names, script)
        case ast.Call():
            return _path_of_call(node, names, script)
        case _:
            return None


def _path_of_call(
    node: ast.Call, names: dict[str, ast.expr], script: Path
) -> Path | None:
    called, arguments = _last_name(node.func), list(node.args)
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    if called in {"Path", "join"} and arguments:
        return _together(arguments, names, script)
    if called == "joinpath" and owner is not None:
        return _together([owner, *arguments], names, script)
    if called == "dirname" and arguments:
        path = _path_of(arguments[0], names, script)
        return path.parent if path else None
    if called == "with_name" and owner is not None and arguments:
        path = _path_of(owner, names, script)
        last = _path_of(arguments[0], names, script)
        return path.parent / last if path and last else None
    if called in _UNCHANGED:
        inner = arguments[0] if arguments else owner
        return _path_of(inner, names, script) if inner is not None else None
    return None


def _together(
    parts: list[ast.expr], names: dict[str, ast.expr], script: Path
) -> Path | None:
    paths = [_path_of(part, names, script) for part in parts]
    known = [path for path in paths if path is not None]
    return Path(*known) if len(known) == len(paths) else None
