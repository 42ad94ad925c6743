"""Source files: the script, its configuration files, and its imported modules."""

import ast
import contextlib
import io
import sys
import threading
import tokenize
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_MODULES: Final = 200
"""Maximum number of the script's modules that the check reads."""

_PACKAGE: Final = "trackerapi"
_STACK_BYTES: Final = 256 * 1024**2
_RECURSION_LIMIT: Final = 20_000
_MAX_PATH_NODES: Final = 1_000
_UPWARDS: Final = frozenset({"parent", "dirname", "with_name"})
_PATH_NAMES: Final = _UPWARDS | frozenset(
    {"Path", "pathlib", "joinpath", "os", "path", "join", "str", "resolve", "absolute"}
    | {"expanduser", "abspath"}
)
"""Names that may occur in an expression from which the check computes a path."""

_PATH_NODES: Final = (
    ast.Call | ast.Attribute | ast.Name | ast.BinOp | ast.Div | ast.Load
)


class UnreadableScript(Exception):
    """The source is not valid Python; the text gives the reason in one line."""


@dataclass(frozen=True, slots=True)
class Script:
    """A parsed script.

    Attributes:
        path: Path as the user gave it.
        tree: Syntax tree.
        lines: Source lines.
        config_files: Configuration files that the script names.
        makes_configs: Whether the script makes job configurations in code.
    """

    path: Path
    tree: ast.Module
    lines: list[str]
    config_files: tuple[Path, ...]
    makes_configs: bool

    @property
    def is_data(self) -> bool:
        """Whether the source is a single list or dict, such as a JSON file."""
        match self.tree.body:
            case [ast.Expr(ast.Dict() | ast.List())]:
                return True
            case _:
                return False

    @classmethod
    def parse(cls, path: Path, source: bytes) -> "Script":
        """Parse the source of a script.

        Raises:
            UnreadableScript: If the source is not valid Python.
        """
        try:
            tree = parse(source, str(path))
            encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
            text = io.TextIOWrapper(io.BytesIO(source), encoding).read()
        except SyntaxError as error:
            location = f"{path}:{error.lineno or 1}:{max(error.offset or 1, 1)}"
            raise UnreadableScript(f"{location}: syntax error: {error.msg}") from None
        except (ValueError, RecursionError, MemoryError) as error:
            reason = str(error) or "nested too deeply"
            raise UnreadableScript(f"{path}: cannot be read: {reason}") from None
        files, makes_configs = _named_configs(tree, path)
        return cls(path, tree, text.split("\n"), files, makes_configs)


def parse(source: bytes, name: str) -> ast.Module:
    """Return the syntax tree of a source, without the warnings of the parser.

    Raises:
        SyntaxError: If the source is not valid Python.
        ValueError: If the source contains a NUL.
        RecursionError: If the source is nested more deeply than Python permits.
        MemoryError: If the source is nested more deeply than the parser permits.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(RecursionError):
            return ast.parse(source, name)
        return _parse_with_large_stack(source, name)


def _parse_with_large_stack(source: bytes, name: str) -> ast.Module:
    """Parse source that is nested too deeply for the limits of the calling thread.

    Python 3.11 permits trees three times as deep as the recursion limit, less the
    depth of the caller. The new thread starts at depth 0, and has the larger C stack
    that a higher limit needs.
    """
    trees: list[ast.Module] = []

    def run() -> None:
        with contextlib.suppress(RecursionError, MemoryError):
            trees.append(ast.parse(source, name))

    # Both limits belong to the process: they also apply to other threads until the
    # parser returns.
    limit = sys.getrecursionlimit()
    stack_bytes = threading.stack_size(_STACK_BYTES)
    sys.setrecursionlimit(max(limit, _RECURSION_LIMIT))
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(stack_bytes)
    if not trees:
        raise RecursionError("nested too deeply")
    return trees[0]


def uses_library_elsewhere(tree: ast.Module, folders: list[Path]) -> bool:
    """Return whether a script imports modules of its own that use this library.

    Such modules may report steps of the current job. A module that cannot be read
    counts as a use of the library.

    Args:
        tree: The script.
        folders: Folders that may contain its modules.
    """
    seen: set[Path] = set()
    waiting = list(_own_modules(tree, folders))
    while waiting and len(seen) < MAX_MODULES:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        try:
            source = path.read_bytes()
            module = parse(source, str(path))
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return True
        if _PACKAGE.encode() in source:
            return True
        waiting.extend(_own_modules(module, [*path.parents[:3], *folders]))
    return bool(waiting)


def _own_modules(tree: ast.Module, folders: list[Path]) -> Iterator[Path]:
    """Yield the source files in `folders` that a module imports."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = [module, *(f"{module}.{name}".lstrip(".") for name in names)]
        for parts in (name.split(".") for name in names if name):
            for base in (folder.joinpath(*parts) for folder in folders):
                candidates = (base.with_suffix(".py"), base / "__init__.py")
                is_own = parts[0] != _PACKAGE
                yield from (path for path in candidates if is_own and path.is_file())


def _named_configs(tree: ast.Module, script: Path) -> tuple[tuple[Path, ...], bool]:
    """Return the attributes `config_files` and `makes_configs` of a `Script`."""
    assigned: dict[str, list[ast.expr]] = {}
    calls: list[ast.Call] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    assigned.setdefault(target.id, []).append(node.value)
        elif isinstance(node, ast.Call):
            calls.append(node)
    constants = {
        name: values[0] for name, values in assigned.items() if len(values) == 1
    }
    files: dict[Path, None] = {}
    makes_configs = False
    for call in calls:
        called = _last_name(call.func)
        makes_configs |= called in {"JobConfig", "add_job_config"}
        if called == "JobConfigManager":
            given = {keyword.arg: keyword.value for keyword in call.keywords}
            makes_configs |= "configs" in given or None in given or len(call.args) > 1
            file = given.get("configurations_file") or next(iter(call.args), None)
            path = _path_of(file, constants, script) if file is not None else None
            files |= {path: None} if path else {}
    return tuple(files), makes_configs


def _last_name(node: ast.AST) -> str:
    return str(getattr(node, "attr", None) or getattr(node, "id", ""))


def _path_of(
    expression: ast.expr, constants: Mapping[str, ast.expr], script: Path
) -> Path | None:
    """Return the path that an expression gives; None if unknown.

    Follows strings, constants, `/`, and names of `Path` and `os.path`. A path with
    `.parent` or `dirname` must start at `__file__`.
    """
    parts: list[Path] = []
    levels, file = 0, script.absolute()
    waiting: list[ast.AST] = [expression]
    # The number of nodes is limited: the value of a constant may contain its own name.
    for _ in range(_MAX_PATH_NODES):
        if not waiting:
            break
        node = waiting.pop()
        name = _last_name(node)
        text = getattr(node, "value", None) if name != "__file__" else str(file)
        if isinstance(text, str):
            parts.append(Path(text))
        elif isinstance(node, ast.Name) and name in constants:
            waiting.append(constants[name])
        elif isinstance(node, _PATH_NODES) and (not name or name in _PATH_NAMES):
            levels += name in _UPWARDS
            waiting += reversed(list(ast.iter_child_nodes(node)))
        else:
            return None
    if waiting or not parts or (levels and parts[0] != file):
        return None
    for _ in range(levels):
        parts[0] = parts[0].parent
    return Path(*parts)
