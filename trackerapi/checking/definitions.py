"""What gives names: imports, functions and classes."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from trackerapi.checking.findings import Findings
from trackerapi.checking.jobs import KnownConfigs
from trackerapi.checking.loops import Loops
from trackerapi.checking.scopes import Scope
from trackerapi.checking.values import (
    ANYTHING,
    TRACKERS,
    Class,
    Function,
    Instance,
    JobDecorator,
    Library,
    StepBlock,
    just,
)

PACKAGE: Final = "trackerapi"
_OFFERED: Final = (*TRACKERS, "JobConfigManager", "current_job", "current_step", "step")
"""Names that `import *` gives, as far as they matter here."""

_PLAIN: Final = frozenset({"staticmethod", "classmethod", "property", "override"})


class Definitions(Loops):
    """Reads imports, and what defines functions and classes."""

    def __init__(self, known: KnownConfigs, findings: Findings) -> None:
        super().__init__(known, findings)
        self._class: Class | None = None

    def read_import(self, node: ast.Import) -> None:
        """Read `import a.b as c`."""
        for alias in node.names:
            parts = alias.name.split(".")
            name = alias.asname or parts[0]
            is_library = parts[0] == PACKAGE
            bound = just(Library(parts[-1] if alias.asname else PACKAGE))
            self.frame.scope.assign(name, bound if is_library else ANYTHING)

    def read_import_from(self, node: ast.ImportFrom) -> None:
        """Read `from a import b as c`."""
        is_library = (node.module or "").split(".")[0] == PACKAGE and not node.level
        for alias in node.names:
            names = _OFFERED if alias.name == "*" and is_library else (alias.name,)
            for name in names:
                value = just(Library(name)) if is_library else ANYTHING
                self.frame.scope.assign(alias.asname or name, value)

    def read_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Define a function; it is read where it is called."""
        scope = self.frame.scope
        defaults = {name: self.evaluate(one) for name, one in _defaults(node.args)}
        ours: list[StepBlock | JobDecorator] = []
        is_strange = False
        for decorator in node.decorator_list:
            value = self.evaluate(decorator)
            known = [t for t in value if isinstance(t, StepBlock | JobDecorator)]
            ours += known[:1]
            is_plain = ast.unparse(decorator) in _PLAIN
            is_strange |= not known and not is_plain
        owner = Instance(self._class) if self._class and scope.is_class else None
        function = Function(node, scope, defaults, tuple(ours), is_strange)
        self.functions.append(replace(function, owner=owner))
        scope.assign(node.name, just(function))

    def read_class(self, node: ast.ClassDef) -> None:
        """Read the body of a class; its methods are read where they are called."""
        found = [thing for base in node.bases for thing in self.evaluate(base)]
        bases = tuple(thing for thing in found if isinstance(thing, Class))
        for decorator in node.decorator_list:
            self.evaluate(decorator)
        of = Class(Scope(self.frame.scope, is_class=True), bases)
        around, self._class = self._class, of
        with self.in_scope(of.scope):
            self.walk(node.body)
        self._class = around
        self.frame.scope.assign(node.name, just(of))


def _defaults(arguments: ast.arguments) -> Iterator[tuple[str, ast.expr]]:
    """Walk the parameters that have a default, and what it is."""
    by_place = [*arguments.posonlyargs, *arguments.args]
    last = by_place[len(by_place) - len(arguments.defaults) :]
    yield from zip((one.arg for one in last), arguments.defaults, strict=True)
    for parameter, default in zip(
        arguments.kwonlyargs, arguments.kw_defaults, strict=True
    ):
        if default is not None:
            yield parameter.arg, default
