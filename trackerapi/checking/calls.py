"""Reading of calls: of the library, of functions of the script, of unknown objects.

Each call of a function of the script reads the function body with the arguments of the
call.
"""

import ast
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Final

from trackerapi.checking.findings import Findings
from trackerapi.checking.library import (
    ENDING_METHODS,
    FOLLOWED_NAMES,
    enter_block,
    evaluate_decorated_call,
    evaluate_get_job_config,
    evaluate_job_call,
    evaluate_library_call,
    evaluate_step_call,
    evaluate_tracker_call,
)
from trackerapi.checking.rules import report_handle, report_step, report_to_unknown
from trackerapi.checking.state import Argument, Arguments, Reading, State, Task
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
from trackerapi.config.job_config import StepConfiguration
from trackerapi.events.event import KINDS

MAX_CHAIN: Final = 24
"""Maximum number of nodes in a chain of calls; each call adds two nodes."""

UNKNOWN_ARGUMENTS: Final = Arguments(has_more=True)

_RUNNERS: Final = frozenset(
    {"Thread", "Process", "submit", "to_thread", "run_in_executor", "partial", "run"}
)
"""Functions that run a function among their arguments, with the arguments after it."""

_HARMLESS: Final = frozenset(
    {"all", "any", "bool", "callable", "hash", "id", "isinstance", "len", "print"}
    | {"range", "repr", "sum", "type"}
)
"""Built-in functions that neither keep nor return their arguments."""

_KEYWORDS_OF_NEW_JOBS: Final = frozenset({"customer_id", "provider_job_id", "tag"})


def read_call(state: State, node: ast.Call) -> Reading:
    """Read a call, and return the symbol of its result."""
    called = yield node.func
    given = yield from _read_arguments(state, node)
    match called:
        case Function():
            return (yield _call_function(state, called, given, node))
        case Library(name) if name in FOLLOWED_NAMES:
            return evaluate_library_call(state, name, given, node)
        case Member(Job() as job, name):
            with state.override(current_job=job):
                yield _release_objects(state, given)
            return evaluate_job_call(state, job, name, given, node)
        case Member(Step() as step, name):
            yield _release_objects(state, given)
            return evaluate_step_call(state, step, name)
        case Member(owner, name):
            yield release(state, owner)  # A method may change a list or return an item.
            return (yield _call_unknown_method(state, name, given, node))
        case _:
            return (yield _call_unknown_function(state, given, node))


def _read_arguments(state: State, node: ast.Call) -> Generator[Task, Symbol, Arguments]:
    given = Arguments()
    for part in node.args:
        symbol = yield part
        given.has_more |= isinstance(part, ast.Starred)
        if given.has_more:  # Arguments after `*` have unknown positions.
            yield release(state, symbol)
        else:
            given.positional.append(Argument(symbol, part))
    for keyword in node.keywords:
        symbol = yield keyword.value
        if keyword.arg is not None:
            given.keywords[keyword.arg] = Argument(symbol, keyword.value)
        else:
            given.has_more = True
            yield release(state, symbol)
    return given


def _call_unknown_method(
    state: State, name: str, given: Arguments, node: ast.Call
) -> Reading:
    """Read a call of a method of an unknown object, which may be a tracker or a job."""
    keywords = _KEYWORDS_OF_NEW_JOBS & given.keywords.keys()
    is_creation = name in {"create_job", "run_job"} and (
        keywords or len(given.positional) > 2
    )
    if is_creation or (name in {"job", "as_job"} and len(keywords) > 1):
        return evaluate_tracker_call(state, name, given, node)
    if name == "get_job_config":
        return evaluate_get_job_config(state, given)
    if name in {"enter_context", "enter_async_context"} and given.positional:
        return enter_block(state, given.positional[0].symbol)
    owner = node.func.value if isinstance(node.func, ast.Attribute) else node.func
    owner_name = str(getattr(owner, "attr", None) or getattr(owner, "id", ""))
    is_job = owner_name.lower().endswith("job")
    state.unknown_job.is_ended |= is_job and name in ENDING_METHODS
    kind = given.symbol("kind", 0)
    is_kind = is_job and isinstance(kind, Text) and kind.text in KINDS
    if name == "send_event" and (is_kind or "kind" in given.keywords):
        return evaluate_job_call(state, state.unknown_job, name, given, node)
    index = None if name == "track" else 0
    step = given.find("step", index) if name in {"step", "skip", "track"} else None
    if step is not None:
        report_to_unknown(state, step.symbol, step.at, is_job=is_job)
    return (yield _call_unknown(state, name, given))


def _call_unknown_function(state: State, given: Arguments, node: ast.Call) -> Reading:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name not in _HARMLESS or state.scope.find(name):
        return (yield _call_unknown(state, name, given))
    for symbol in given:
        yield call_later(state, symbol)
    return UNKNOWN


def _call_unknown(state: State, name: str, given: Arguments) -> Reading:
    """Read a call of unknown code, which may call a function among its arguments."""
    target, args = given.find("target"), given.find("args")
    symbols = [argument.symbol for argument in given.positional]
    index = next((n for n, s in enumerate(symbols) if isinstance(s, Function)), None)
    if name in _RUNNERS and index is not None:
        has_more = given.has_more or name == "partial"
        behind = given.positional[index + 1 :]
        inner = Arguments(behind, given.keywords, has_more)
        yield call_later(state, symbols[index], inner)
    elif name in _RUNNERS and target is not None:
        passed = state.items_of(args.symbol) if args else ()
        inner = Arguments([Argument(item, args.at) for item in passed or () if args])
        inner.has_more = passed is None or "kwargs" in given.keywords
        yield call_later(state, target.symbol, inner)
        if args and passed is None:
            yield release(state, args.symbol)
    else:
        yield release(state, *given)
    return UNKNOWN


def _call_function(
    state: State, function: Function, given: Arguments, node: ast.Call | None
) -> Reading:
    """Read a call of a function of the script.

    Args:
        state: State of the check.
        function: The called function.
        given: Arguments of the call.
        node: Node of the call; None for a call by code that the check cannot follow.
    """
    is_recursive = function.node in state.chain
    if is_recursive or len(state.chain) > MAX_CHAIN or (node and state.is_over_limit):
        if not is_recursive:
            state.current_job.leave()
        yield release(state, *given)
        return UNKNOWN
    is_coroutine = isinstance(function.node, ast.AsyncFunctionDef)
    is_awaited = not is_coroutine or node is None or node in state.awaited
    if is_awaited and not function.is_deferred:
        return (yield _read_function(state, function, given, node))
    with state.override(flow={}):
        symbol = yield _read_function(state, function, given, node)
    if not function.is_deferred:
        return symbol  # A later `await` returns this symbol.
    return (yield release(state, symbol))


def call_later(
    state: State, symbol: Symbol, given: Arguments = UNKNOWN_ARGUMENTS
) -> Reading:
    """Read a function that other code calls at an unknown time.

    Reads the function here for its effects, and at the end of the script for its
    mistakes: the script may set variables of the function after this point.
    """
    if isinstance(symbol, Function) and symbol.node not in state.chain:
        if given is not UNKNOWN_ARGUMENTS:
            state.later.append((symbol, given))
        with state.override(flow={}, findings=Findings("", [])):
            yield _call_function(state, symbol, given, None)
    return UNKNOWN


def read_later(state: State) -> Reading:
    """Read the functions that other code calls, with the final symbols of all names."""
    seen: set[tuple[object, ...]] = set()
    # The list grows during the loop: a function may define other functions.
    for function, given in state.later:
        key = (function.node, *(() if state.is_over_limit else given))
        is_called = given is UNKNOWN_ARGUMENTS and function.node in state.called
        if key not in seen and not is_called:
            seen.add(key)
            with state.override(flow={}):
                yield _call_function(state, function, given, None)
    return UNKNOWN


def release(state: State, *symbols: Symbol) -> Reading:
    """Record that symbols are passed to code that the check cannot follow.

    This code may call functions, report steps by handles and tags, and change lists.
    """
    for symbol in symbols:
        match symbol:
            case Function():
                yield call_later(state, symbol)
            case Items(items):
                state.change(symbol)
                yield release(state, *items)
            case Text(tag) | StepConfiguration(tag=tag):
                state.released.add(tag)
            case Step(Job() as job) | Member(Step(Job() as job)) | Member(Job() as job):
                job.leave()
            case Job():
                symbol.leave()
            case _:
                pass
    return UNKNOWN


def _release_objects(state: State, given: Arguments) -> Reading:
    """Release the arguments of a method of a job or step, except texts."""
    objects = [symbol for symbol in given if not isinstance(symbol, Text)]
    return (yield release(state, *objects))


def join(state: State, *symbols: Symbol) -> Reading:
    """Return the symbol if it is the same on all paths; else release the symbols.

    For a handle on one path and None on another path, the handle is returned.
    """
    different: list[Symbol] = list(dict.fromkeys(symbols))
    others: list[Symbol] = [symbol for symbol in different if symbol is not Plain.NONE]
    if len(others) == 1 and not isinstance(others[0], Text):
        different = others
    return different[0] if len(different) == 1 else (yield release(state, *different))


def join_names(
    state: State, paths: Sequence[dict[str, Symbol]], *, may_jump: bool = False
) -> Reading:
    """Set the names of the scope at a point where several paths join.

    Args:
        state: State of the check.
        paths: Symbol of each name, at the end of each path.
        may_jump: Whether a path may end early, before the assignment of a new text.
    """
    first, *others = paths
    names = dict(first)
    different = {
        name
        for path in others
        for name, symbol in path.items()
        if first.get(name) is not symbol
    }
    different.update(*(first.keys() - path.keys() for path in others))
    for name in different:
        symbols = [path[name] for path in paths if name in path]
        if any(symbol != symbols[0] for symbol in symbols):
            state.scope.changed.add(name)
        symbol = yield join(state, *symbols)
        if may_jump and isinstance(symbol, Text) and name in state.scope.changed:
            symbol = yield release(state, symbol)
        names[name] = symbol
    state.scope.names = names
    return UNKNOWN


def item_of(state: State, iterable: Symbol) -> Reading:
    """Return the symbol of any item of an iterable.

    For a loop of `track()`, record that the step begins.
    """
    if isinstance(iterable, Step) and iterable.is_loop:
        report_handle(state, iterable, begins=True)
    if isinstance(iterable, Member) and isinstance(iterable.owner, Job):
        # A loop over `job.steps` may report each step.
        iterable.owner.is_open = iterable.owner.is_used = True
    return (yield join(state, *(state.items_of(iterable) or (UNKNOWN,))))


def _read_function(
    state: State, function: Function, given: Arguments, node: ast.Call | None
) -> Reading:
    """Read the body of a function inside the blocks of its decorators."""
    if given is not UNKNOWN_ARGUMENTS:
        state.called.add(function.node)
    scope, job = Scope(function.scope), state.current_job
    scope.names = yield from _read_parameters(state, function, given)
    for decorator in function.decorators:
        if isinstance(decorator, JobDecorator):
            job = evaluate_decorated_call(state, decorator)
        else:
            tag = decorator.tag or UNKNOWN
            report_step(state, job, tag, decorator.named_at, begins=True)
    around = (function.node,) if node is None else (node, function.node)
    chain, returned = (*state.chain, *around), list[Symbol]()
    with state.override(
        scope=scope, chain=chain, current_job=job, returned=returned, return_flow={}
    ):
        if isinstance(function.node, ast.Lambda):
            returned.append((yield function.node.body))
        else:
            yield function.node.body
            if not isinstance(function.node.body[-1], ast.Return):
                returned.append(Plain.NONE)
        state.flow = state.flow or state.return_flow
        symbol = yield join(state, *returned)
        if len(chain) == 1:
            yield release(state, symbol)  # The caller may be in another module.
    return symbol


def _read_parameters(
    state: State, function: Function, given: Arguments
) -> Generator[Task, Symbol, dict[str, Symbol]]:
    """Return the symbols of the parameters of a called function."""
    parameters = function.node.args
    positional = [*parameters.posonlyargs, *parameters.args]
    passed = [_symbol_of(argument) for argument in given.positional]
    keywords = {name: _symbol_of(argument) for name, argument in given.keywords.items()}
    names = dict(zip((each.arg for each in positional), passed, strict=False))
    for parameter in [*positional[len(passed) :], *parameters.kwonlyargs]:
        default = function.defaults.get(parameter.arg, UNKNOWN)
        if parameter.arg not in keywords and given.has_more:
            default = yield release(state, default)
        names[parameter.arg] = keywords.pop(parameter.arg, default)
    rest = Items(tuple(passed[len(positional) :]))
    if parameters.vararg:
        names[parameters.vararg.arg] = UNKNOWN if given.has_more else rest
    if parameters.kwarg:
        names[parameters.kwarg.arg] = UNKNOWN
    is_kept = parameters.vararg and not given.has_more
    yield release(state, *keywords.values(), UNKNOWN if is_kept else rest)
    return names


def _symbol_of(argument: Argument) -> Symbol:
    """Return the symbol of an argument; record in a text the argument that passed it.

    A text that another argument has passed before keeps the first argument.
    """
    symbol = argument.symbol
    if isinstance(symbol, Text) and symbol.passed_at is None:
        return replace(symbol, passed_at=argument.at)
    return symbol
