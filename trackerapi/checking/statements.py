"""Reading of statements, in the order in which they run.

A conditional statement may not run: after the statement, a step that it begins does not
count as begun.
"""

import ast
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final, TypeAlias

from trackerapi.checking.calls import UNKNOWN_ARGUMENTS, item_of, join_names, release
from trackerapi.checking.expressions import (
    assign,
    read_defaults,
    read_other,
    read_value,
)
from trackerapi.checking.library import FOLLOWED_NAMES, enter_block
from trackerapi.checking.state import Reader, Reading, State
from trackerapi.checking.symbols import (
    UNKNOWN,
    Function,
    Items,
    Job,
    JobDecorator,
    Library,
    Member,
    Plain,
    Scope,
    Step,
    Symbol,
    Text,
)

PACKAGE: Final = "trackerapi"
MAX_UNROLLED: Final = 40
"""Maximum number of items for which a loop body is read once for each item."""

_For: TypeAlias = ast.For | ast.AsyncFor
_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def _read_assign(state: State, node: ast.Assign | ast.AnnAssign) -> Reading:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    symbol = (yield node.value) if node.value else UNKNOWN
    for target in targets if node.value else ():
        yield assign(state, target, symbol)
    return UNKNOWN


def _read_augmented(state: State, node: ast.AugAssign) -> Reading:
    old = yield node.target
    changed = old if isinstance(old, Items) else UNKNOWN
    yield release(state, (yield node.value), changed)
    return (yield assign(state, node.target, UNKNOWN))


def _read_branches(state: State, branches: Sequence[Sequence[ast.AST]]) -> Reading:
    """Read branches of which exactly one runs; join their names at the end."""
    start, ends = state.scope.names, list[dict[str, Symbol]]()
    for branch in branches:
        state.scope.names = dict(start)
        with state.override(flow=state.flow):
            yield branch
        ends.append(state.scope.names)
    return (yield join_names(state, ends))


def _read_if(state: State, node: ast.If) -> Reading:
    branches: list[Sequence[ast.AST]] = []
    orelse: list[ast.stmt] = [node]
    with state.override(flow=state.flow):  # The test of an `elif` may not run.
        while len(orelse) == 1 and isinstance(orelse[0], ast.If):
            yield orelse[0].test
            branches.append(orelse[0].body)
            orelse = orelse[0].orelse
        return (yield _read_branches(state, [*branches, orelse]))


def _read_match(state: State, node: ast.Match) -> Reading:
    subject = yield node.subject
    if isinstance(subject, Text):
        state.compared.add(subject.text)
    for pattern in (each for case in node.cases for each in ast.walk(case.pattern)):
        # A pattern stores a captured name in one of two fields.
        name = getattr(pattern, "name", None) or getattr(pattern, "rest", None)
        if name:
            old = state.scope.names.get(name, UNKNOWN)
            state.scope.assign(name, (yield release(state, old)))
    bodies = [[*filter(None, [case.guard]), *case.body] for case in node.cases]
    return (yield _read_branches(state, [(), *bodies]))


def _read_for(state: State, node: _For) -> Reading:
    iterable = yield node.iter
    items = state.items_of(iterable) if isinstance(node, ast.For) else None
    if items is not None and len(items) <= MAX_UNROLLED and not state.is_over_limit:
        for item in items:
            yield assign(state, node.target, item)
            yield node.body
    else:
        item = yield item_of(state, iterable)
        yield assign(state, node.target, item)
        yield _read_rounds(state, node.body)
    return (yield node.orelse)


def _read_while(state: State, node: ast.While) -> Reading:
    yield _read_rounds(state, [node.test, *node.body])
    return (yield node.orelse)


def _read_rounds(state: State, body: Sequence[ast.AST]) -> Reading:
    """Read the body of a loop with unknown items twice: as first and as later round."""
    before = state.scope.names
    with state.override(flow=state.flow):
        for _ in range(1 if state.is_over_limit else 2):
            state.scope.names = dict(state.scope.names)
            yield body
            ends = [before, state.scope.names]
            yield join_names(state, ends, may_jump=True)
    return UNKNOWN


def _read_with(state: State, node: ast.With | ast.AsyncWith) -> Reading:
    with ExitStack() as blocks:
        for item in node.items:
            symbol = yield item.context_expr
            bound = enter_block(state, symbol)
            if item.optional_vars is not None:
                yield assign(state, item.optional_vars, bound)
            if isinstance(symbol, Job):
                blocks.enter_context(state.override(current_job=symbol))
        return (yield node.body)


def _read_try(state: State, node: ast.Try | ast.TryStar) -> Reading:
    before, flow = state.scope.names, state.flow
    state.scope.names = dict(before)
    yield node.body
    yield node.orelse
    ends = [state.scope.names]
    yield join_names(state, [before, *ends], may_jump=True)
    stopped = state.scope.names
    for handler in node.handlers:
        state.scope.names = dict(stopped)
        if handler.name:
            state.scope.assign(handler.name, UNKNOWN)
        with state.override(flow=flow):
            yield handler.body
        ends.append(state.scope.names)
    yield join_names(state, ends)
    return (yield node.finalbody)


def _read_return(state: State, node: ast.Return) -> Reading:
    symbol = (yield node.value) if node.value else Plain.NONE
    state.returned.append(symbol)
    state.return_flow, state.flow = state.flow, {}
    return UNKNOWN


def _read_jump(state: State, node: ast.Raise | ast.Break | ast.Continue) -> Reading:
    yield read_other(state, node)
    state.flow = {}
    return UNKNOWN


def _read_shared(state: State, node: ast.Global | ast.Nonlocal) -> Symbol:
    state.scope.shared |= set(node.names)
    return UNKNOWN


def _read_import(state: State, node: ast.Import) -> Symbol:
    for alias in node.names:
        parts = alias.name.split(".")
        name = parts[-1] if alias.asname else PACKAGE
        symbol = Library(name) if parts[0] == PACKAGE else UNKNOWN
        state.scope.assign(alias.asname or parts[0], symbol)
    return UNKNOWN


def _read_import_from(state: State, node: ast.ImportFrom) -> Symbol:
    is_library = (node.module or "").split(".")[0] == PACKAGE and not node.level
    for alias in node.names:
        is_starred = alias.name == "*" and is_library
        for name in sorted(FOLLOWED_NAMES) if is_starred else (alias.name,):
            symbol = Library(name) if is_library else UNKNOWN
            state.scope.assign(alias.asname or name, symbol)
    return UNKNOWN


def _read_function(state: State, node: _Function) -> Reading:
    """Read the definition of a function; a call reads its body."""
    defaults = yield from read_defaults(node.args)
    decorators: list[Step | JobDecorator] = []
    is_deferred = _has_yield(node)
    for decorator in node.decorator_list:
        symbol = yield decorator
        if isinstance(symbol, Step | JobDecorator):
            decorators.append(symbol)
        else:
            is_deferred = True
    function = Function(node, state.scope, defaults, tuple(decorators), is_deferred)
    state.later.append((function, UNKNOWN_ARGUMENTS))
    state.scope.assign(node.name, function)
    return UNKNOWN


def _has_yield(node: _Function) -> bool:
    inner: list[ast.AST] = list(node.body)
    while inner:
        one = inner.pop()
        if isinstance(one, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(one, _Function | ast.Lambda):
            inner.extend(ast.iter_child_nodes(one))
    return False


def _read_class(state: State, node: ast.ClassDef) -> Reading:
    yield [*node.bases, *node.decorator_list]
    scope = Scope(state.scope, is_class=True)
    with state.override(scope=scope):
        yield node.body
    handles = [s for s in scope.names.values() if isinstance(s, Job | Step | Member)]
    yield release(state, *handles)  # Methods may use the handles.
    state.scope.assign(node.name, scope)
    return UNKNOWN


READERS: Final[dict[type[ast.AST], Reader]] = {
    ast.Assign: _read_assign,
    ast.AnnAssign: _read_assign,
    ast.AugAssign: _read_augmented,
    ast.Expr: read_value,
    ast.If: _read_if,
    ast.Match: _read_match,
    ast.For: _read_for,
    ast.AsyncFor: _read_for,
    ast.While: _read_while,
    ast.With: _read_with,
    ast.AsyncWith: _read_with,
    ast.Try: _read_try,
    ast.TryStar: _read_try,
    ast.Return: _read_return,
    ast.Raise: _read_jump,
    ast.Break: _read_jump,
    ast.Continue: _read_jump,
    ast.Global: _read_shared,
    ast.Nonlocal: _read_shared,
    ast.Import: _read_import,
    ast.ImportFrom: _read_import_from,
    ast.FunctionDef: _read_function,
    ast.AsyncFunctionDef: _read_function,
    ast.ClassDef: _read_class,
}
