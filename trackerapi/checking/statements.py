"""Statements, in the order in which they run."""

import ast
import functools
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from trackerapi.checking.definitions import Definitions
from trackerapi.checking.flow import Moment, meeting
from trackerapi.checking.scopes import joined
from trackerapi.checking.values import (
    ANYTHING,
    NOTHING,
    Instance,
    StepHandle,
    Value,
    either,
)

_EXITS: Final = frozenset({"sys.exit", "os._exit", "exit", "quit"})
_Try: TypeAlias = ast.Try | ast.TryStar


class ScriptReader(Definitions):
    """Reads a script from its first statement to its end."""

    def read(self, tree: ast.Module) -> None:
        """Read a script, and then what only others call.

        Raises:
            TooLong: If it is beyond what can be read in a few seconds.
        """
        self.walk(tree.body)
        self.read_entry_points()

    def walk(self, statements: Sequence[ast.stmt]) -> None:
        """Read statements in order."""
        for statement in statements:
            self.count()
            read = _READERS.get(type(statement))
            if read is not None:
                read(self, statement)
                continue
            for part in ast.iter_child_nodes(statement):
                if isinstance(part, ast.expr):
                    self.evaluate(part)

    def assign(self, target: ast.expr, value: Value) -> None:
        """Assign a value to a target."""
        match target:
            case ast.Name(id=name):
                self.frame.scope.assign(name, value)
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                self._unpack(targets, value)
            case ast.Starred(value=inner):
                self.assign(inner, value)
            case ast.Attribute(value=owner, attr=name):
                self._assign_attribute(self.evaluate(owner), name, value)
            case ast.Subscript(value=owner, slice=index):
                self.evaluate(index)
                self.change(self.evaluate(owner))
                self.let_go(value)
            case _:
                pass

    def _unpack(self, targets: Sequence[ast.expr], value: Value) -> None:
        items = self.items_of(value)
        stars = [n for n, one in enumerate(targets) if isinstance(one, ast.Starred)]
        if items is not None and not stars and len(items) == len(targets):
            for target, item in zip(targets, items, strict=True):
                self.assign(target, item)
            return
        item = self.item_of(value)
        for target in targets:
            self.assign(target, ANYTHING if isinstance(target, ast.Starred) else item)

    def _assign_attribute(self, owner: Value, name: str, value: Value) -> None:
        steps = [thing for thing in owner if isinstance(thing, StepHandle)]
        self.report_handles(steps, begins=len(owner) == 1)
        for thing in owner:
            if isinstance(thing, Instance):
                before = thing.of.attributes.get(name, frozenset())
                thing.of.attributes[name] = either([before, value])
        self.let_go(value)

    def read_assign(self, node: ast.Assign) -> None:
        """Read `a = b = value`."""
        value = self.evaluate(node.value)
        for target in node.targets:
            self.assign(target, value)

    def read_declared(self, node: ast.AnnAssign) -> None:
        """Read `name: type = value`."""
        if node.value is not None:
            self.assign(node.target, self.evaluate(node.value))

    def read_changed(self, node: ast.AugAssign) -> None:
        """Read `name += value`: what it was is no longer known."""
        self.let_go(self.evaluate(node.value))
        if not isinstance(node.target, ast.Subscript):
            self.change(self.evaluate(node.target))
        self.assign(node.target, ANYTHING)

    def read_expression(self, node: ast.Expr) -> None:
        """Read an expression whose value is not used."""
        self.evaluate(node.value)
        if isinstance(node.value, ast.Call):
            self._end_if_exit(node.value)

    def _end_if_exit(self, node: ast.Call) -> None:
        if ast.unparse(node.func) in _EXITS:
            self.flow = None

    def read_if(self, node: ast.If) -> None:
        """Read both branches."""
        self.evaluate(node.test)
        self.alternatives(
            [lambda: self.walk(node.body), lambda: self.walk(node.orelse)]
        )

    def read_match(self, node: ast.Match) -> None:
        """Read each case, and none of them."""
        self.evaluate(node.subject)

        def one(case: ast.match_case) -> None:
            for pattern in ast.walk(case.pattern):
                # Names are in one of two places, whatever kind of pattern it is.
                for name in (
                    getattr(pattern, "name", None),
                    getattr(pattern, "rest", None),
                ):
                    if isinstance(name, str):
                        self.frame.scope.assign(name, ANYTHING)
            if case.guard is not None:
                self.evaluate(case.guard)
            self.walk(case.body)

        ways: list[Callable[[], None]] = [lambda: None]
        ways += [functools.partial(one, case) for case in node.cases]
        self.alternatives(ways)

    def read_with(self, node: ast.With | ast.AsyncWith) -> None:
        """Read a block, which may be one of a job or a step."""
        self._with(list(node.items), node.body)

    def _with(self, items: list[ast.withitem], body: Sequence[ast.stmt]) -> None:
        if not items:
            self.walk(body)
            return
        first, *others = items
        inner = first.context_expr
        value = self.evaluate(inner)
        jobs, given = self.enter(value)
        if first.optional_vars is not None:
            self.assign(first.optional_vars, given)
        with self.within(jobs[:1]):
            self._with(others, body)

    def read_try(self, node: _Try) -> None:
        """Read what may be interrupted anywhere, and what then follows."""
        before = self.moment()

        self.walk(node.body)
        self.walk(node.orelse)
        ends = [self.moment()]
        names = joined([before.names, self.moment().names])
        interrupted = Moment(names, self.interrupted(before.flow))
        for handler in node.handlers:
            self.go_to(interrupted)
            if handler.name:
                self.frame.scope.assign(handler.name, ANYTHING)
            self.walk(handler.body)
            ends.append(self.moment())
        end = meeting(ends)
        if node.finalbody and end.flow is None:
            self.go_to(interrupted)
            self.walk(node.finalbody)
            self.flow = None
            return
        self.go_to(end)
        self.walk(node.finalbody)

    def read_return(self, node: ast.Return) -> None:
        """End the function."""
        value = self.evaluate(node.value) if node.value else NOTHING
        self.frame.returned.append(value)
        self.frame.ends.append(self.flow)
        self.flow = None

    def read_raise(self, node: ast.Raise) -> None:
        """End the way."""
        if node.exc is not None:
            self.evaluate(node.exc)
        self.flow = None

    def read_shared(self, node: ast.Global | ast.Nonlocal) -> None:
        """Note names of a scope around."""
        self.frame.scope.shared |= set(node.names)


_READERS: Final[dict[type[ast.stmt], Callable[[ScriptReader, Any], None]]] = {
    ast.Assign: ScriptReader.read_assign,
    ast.AnnAssign: ScriptReader.read_declared,
    ast.AugAssign: ScriptReader.read_changed,
    ast.Expr: ScriptReader.read_expression,
    ast.If: ScriptReader.read_if,
    ast.Match: ScriptReader.read_match,
    ast.For: ScriptReader.read_for,
    ast.AsyncFor: ScriptReader.read_for,
    ast.While: ScriptReader.read_while,
    ast.With: ScriptReader.read_with,
    ast.AsyncWith: ScriptReader.read_with,
    ast.Try: ScriptReader.read_try,
    ast.TryStar: ScriptReader.read_try,
    ast.Return: ScriptReader.read_return,
    ast.Raise: ScriptReader.read_raise,
    ast.Break: ScriptReader.read_break,
    ast.Continue: ScriptReader.read_continue,
    ast.Global: ScriptReader.read_shared,
    ast.Nonlocal: ScriptReader.read_shared,
    ast.Import: ScriptReader.read_import,
    ast.ImportFrom: ScriptReader.read_import_from,
    ast.FunctionDef: ScriptReader.read_function,
    ast.AsyncFunctionDef: ScriptReader.read_function,
    ast.ClassDef: ScriptReader.read_class,
}
