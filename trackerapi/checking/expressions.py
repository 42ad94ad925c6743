"""Readers of expressions and assignment targets; each finds the symbol of its node.

`Reading` in `trackerapi.checking.state` explains what a reader yields and returns.
"""

import ast
import contextlib
from collections.abc import Generator
from typing import Final, TypeAlias

from trackerapi.checking.calls import (
    UNKNOWN_ARGUMENTS,
    item_of,
    join,
    read_call,
    release,
)
from trackerapi.checking.library import TRACKER_CLASSES
from trackerapi.checking.rules import report_handle
from trackerapi.checking.state import Flow, Reader, Reading, State, Task
from trackerapi.checking.symbols import (
    UNKNOWN,
    Function,
    Items,
    Job,
    Library,
    Member,
    Plain,
    Scope,
    Step,
    Symbol,
    Text,
)
from trackerapi.config.job_config import JobConfig, StepConfiguration

_Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp

_WITHOUT_PARTS: Final = (
    ast.Assert | ast.Compare | ast.FormattedValue | ast.JoinedStr | ast.UnaryOp
)
"""Nodes with results that never contain an object from their operands."""


def read_other(state: State, node: ast.AST) -> Reading:
    """Read the operands of a node without a reader of its own; return `UNKNOWN`.

    An operand that the result may contain is released: code that the check does not
    follow may use it.
    """
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.expr):
            symbol = yield part
            if isinstance(node, ast.Compare):
                compared = state.items_of(symbol) or (symbol,)
                texts = (each.text for each in compared if isinstance(each, Text))
                state.compared.update(texts)
            elif isinstance(symbol, Text) or not isinstance(node, _WITHOUT_PARTS):
                yield release(state, symbol)
    return UNKNOWN


def read_value(_state: State, node: ast.Await | ast.Expr) -> Reading:
    """Read `await` or an expression statement; return the symbol of its value."""
    return (yield node.value)


def assign(state: State, target: ast.expr, symbol: Symbol) -> Reading:
    """Read an assignment of a symbol to a target."""
    match target:
        case ast.Name(id=name):
            state.scope.assign(name, symbol)
        case ast.Tuple(elts=targets) | ast.List(elts=targets):
            items = state.items_of(symbol) or ()
            is_starred = any(isinstance(each, ast.Starred) for each in targets)
            if is_starred or len(items) != len(targets):
                items = [(yield item_of(state, symbol))] * len(targets)
            for inner, item in zip(targets, items, strict=True):
                yield assign(state, inner, item)
        case ast.Attribute(value=inner):
            owner = yield inner
            if isinstance(owner, Step):
                report_handle(state, owner, begins=True)
            yield release(state, symbol)
        case _:
            yield release(state, symbol)
            yield target
    return UNKNOWN


def read_defaults(node: ast.arguments) -> Generator[Task, Symbol, dict[str, Symbol]]:
    """Read the default values of a function; return their symbols by parameter."""
    names = [each.arg for each in (*node.posonlyargs, *node.args)]
    names = names[len(names) - len(node.defaults) :]
    names += [each.arg for each in node.kwonlyargs]
    symbols: dict[str, Symbol] = {}
    for name, default in zip(names, [*node.defaults, *node.kw_defaults], strict=True):
        if default is not None:
            symbols[name] = yield default
    return symbols


def _read_constant(_state: State, node: ast.Constant) -> Symbol:
    if isinstance(node.value, str) and node.value:
        return Text(node.value, node)
    # An empty string names no step: scripts use it until a step is known.
    return Plain.NONE if node.value is None else UNKNOWN


def _read_name(state: State, node: ast.Name) -> Reading | Symbol:
    scope = state.scope.find(node.id)
    if scope is None:
        return UNKNOWN
    # Code in another scope may change the variable before this code runs.
    is_changed = node.id in scope.changed and scope is not state.scope
    is_stable = not is_changed and node.id not in state.unstable
    symbol = scope.names[node.id]
    return symbol if is_stable else release(state, symbol)


def _read_attribute(state: State, node: ast.Attribute) -> Reading:
    owner = yield node.value
    match owner:
        case JobConfig() | StepConfiguration() | Text():
            return _attribute_of_value(owner, node.attr)
        case Library(name) if name not in TRACKER_CLASSES:
            return Library(node.attr)
        case Library():
            return Member(Plain.TRACKER, node.attr)  # Such as `TrackerApi.from_env`.
        case Scope():
            symbol = owner.names.get(node.attr, UNKNOWN)
            is_stable = node.attr not in state.unstable
            return symbol if is_stable else (yield release(state, symbol))
        case Member(Job() as job, "steps"):
            # `job.steps.values()` gives a handle of each step: the job may report steps
            # that the check does not see.
            job.is_open = True
        case Job() | Step():
            found = owner.config if isinstance(owner, Job) else owner.job
            is_found = node.attr == ("config" if isinstance(owner, Job) else "job")
            return found if found and is_found else Member(owner, node.attr)
        case _:
            pass
    is_followed = owner is Plain.TRACKER or isinstance(owner, Items)
    return Member(owner if is_followed else UNKNOWN, node.attr)


def _attribute_of_value(
    owner: JobConfig | StepConfiguration | Text, name: str
) -> Symbol:
    if isinstance(owner, Text):  # Perhaps a member of an enumeration.
        return owner if name == "value" else UNKNOWN
    if isinstance(owner, JobConfig) and name == "step_configurations":
        return Items(owner.step_configurations)
    return Text(getattr(owner, name)) if name in {"tag", "name"} else UNKNOWN


def _read_subscript(state: State, node: ast.Subscript) -> Reading:
    owner = yield node.value
    index = yield node.slice
    match owner:
        case Member(Job() as job, "steps"):
            return Step(job, index if isinstance(index, Text) else None, node.slice)
        case _:
            pass
    if isinstance(node.ctx, ast.Load):
        # An index other than a literal number raises one of these errors.
        errors = (ValueError, TypeError, IndexError, RecursionError)
        with contextlib.suppress(*errors):
            position: int = ast.literal_eval(node.slice)
            return (state.items_of(owner) or ())[position]
    return (yield release(state, owner if isinstance(owner, Items) else UNKNOWN))


def _read_sequence(state: State, node: ast.List | ast.Tuple) -> Reading:
    if any(isinstance(part, ast.Starred) for part in node.elts):
        return (yield read_other(state, node))
    items: list[Symbol] = []
    for part in node.elts:
        symbol = yield part
        items.append(symbol)
    return Items(tuple(items), node if isinstance(node, ast.List) else None)


def _read_comprehension(state: State, node: _Comprehension) -> Reading:
    made = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    flow: Flow = {} if isinstance(node, ast.GeneratorExp) else state.flow
    with state.override(scope=Scope(state.scope), flow=flow):
        for generator in node.generators:
            iterable = yield generator.iter
            item = yield item_of(state, iterable)
            yield assign(state, generator.target, item)
            yield generator.ifs
        for part in made:
            yield release(state, (yield part))
    return UNKNOWN


def _read_bool(state: State, node: ast.BoolOp) -> Reading:
    symbols = [(yield node.values[0])]
    with state.override(flow=state.flow):  # The other operands may not run.
        for operand in node.values[1:]:
            symbol = yield operand
            symbols.append(symbol)
    return (yield join(state, *symbols))


def _read_choice(state: State, node: ast.IfExp) -> Reading:
    yield node.test
    with state.override(flow=state.flow):
        first = yield node.body
    with state.override(flow=state.flow):
        second = yield node.orelse
    return (yield join(state, first, second))


def _read_walrus(state: State, node: ast.NamedExpr) -> Reading:
    symbol = yield node.value
    old = state.scope.names.get(node.target.id, symbol)
    symbol = yield join(state, symbol, old)  # A condition may skip the assignment.
    state.scope.assign(node.target.id, symbol)
    return symbol


def _read_lambda(state: State, node: ast.Lambda) -> Reading:
    defaults = yield from read_defaults(node.args)
    function = Function(node, state.scope, defaults)
    state.later.append((function, UNKNOWN_ARGUMENTS))
    return function


READERS: Final[dict[type[ast.AST], Reader]] = {
    ast.Call: read_call,
    ast.Await: read_value,
    ast.Constant: _read_constant,
    ast.Name: _read_name,
    ast.Attribute: _read_attribute,
    ast.Subscript: _read_subscript,
    ast.List: _read_sequence,
    ast.Tuple: _read_sequence,
    ast.ListComp: _read_comprehension,
    ast.SetComp: _read_comprehension,
    ast.GeneratorExp: _read_comprehension,
    ast.DictComp: _read_comprehension,
    ast.BoolOp: _read_bool,
    ast.IfExp: _read_choice,
    ast.NamedExpr: _read_walrus,
    ast.Lambda: _read_lambda,
}
