"""The script's own functions: read anew for each call, with what it gives them."""

import ast
from collections.abc import Sequence
from typing import Final

from trackerapi.checking.arguments import Argument, Arguments, bound_names
from trackerapi.checking.findings import Findings
from trackerapi.checking.flow import met
from trackerapi.checking.jobs import Job, KnownConfigs
from trackerapi.checking.library import LibraryCalls
from trackerapi.checking.reading import Frame
from trackerapi.checking.scopes import Scope
from trackerapi.checking.values import (
    ANYTHING,
    NOTHING,
    Config,
    Function,
    Items,
    JobDecorator,
    Method,
    StepHandle,
    Steps,
    Table,
    Thing,
    Tracked,
    Value,
    either,
)

DEEPEST: Final = 24
"""Calls within calls; each adds two to the chain."""

_CARRIERS: Final = frozenset(
    {"Thread", "Process", "submit", "to_thread", "run_in_executor", "partial", "run"}
    | {"apply", "apply_async", "call_soon", "call_later", "add_done_callback"}
)
"""Calls that run a function with the arguments behind it, and do nothing else."""

_MAPPERS: Final = frozenset({"map", "starmap", "imap", "imap_unordered", "map_async"})
"""Calls that run a function for each of some items."""


class Functions(LibraryCalls):
    """Reads functions of the script where they are called."""

    def __init__(self, known: KnownConfigs, findings: Findings) -> None:
        super().__init__(known, findings)
        self.functions: list[Function] = []
        self._was_read: set[ast.AST] = set()

    def walk(self, statements: Sequence[ast.stmt]) -> None:
        """Read statements in order."""
        raise NotImplementedError

    def read_entry_points(self) -> None:
        """Read the functions that nothing in the script calls, as others may."""
        for function in self.functions:  # grows while functions define others
            if function.node not in self._was_read:
                self.flow = {}
                self.call_function(function, Arguments(), None, at_once=True)

    def call_function(
        self,
        function: Function,
        given: Arguments,
        node: ast.Call | None,
        *,
        at_once: bool,
    ) -> Value:
        """Return what a function of the script returns.

        Args:
            function: The function.
            given: Its arguments.
            node: The call; None for one from elsewhere.
            at_once: Whether a coroutine runs right here.
        """
        if len(self.frame.chain) > DEEPEST or (node and self.is_long):
            self.current_job.leave()
            return self._let_all_go(given)
        if function.node in self.frame.chain:
            return self._let_all_go(given)
        if node is None or not _runs_later(function, at_once=at_once):
            return self._run(function, given, node)
        with self.at_any_time():
            value = self._run(function, given, node)
        if isinstance(function.node, ast.AsyncFunctionDef) and not function.is_strange:
            return value  # it may still be awaited
        self.let_go(value)
        return ANYTHING

    def _run(
        self, function: Function, given: Arguments, node: ast.Call | None
    ) -> Value:
        """Read a function in the blocks that its decorators make."""
        self._was_read.add(function.node)
        outside = self.frame
        around = (node, function.node) if node is not None else (function.node,)
        self.frame = Frame(Scope(function.scope), (*outside.chain, *around))
        only = Config(self.known.only) if self.known.only else None
        self.frame.scope.names = bound_names(function, given, self.stranger, only)
        jobs: list[Job] = []
        for decorator in function.decorators:
            if isinstance(decorator, JobDecorator):
                jobs.append(self._job_of(decorator))
            else:
                job = jobs[-1] if jobs else self.current_job
                self.report([job], decorator.tag, decorator.named_at, begins=True)
        try:
            with self.within(jobs):
                return self._read_body(function)
        finally:
            self.frame = outside

    def _read_body(self, function: Function) -> Value:
        if isinstance(function.node, ast.Lambda):
            return self.evaluate(function.node.body)
        self.walk(function.node.body)
        if self.flow is not None:
            self.frame.returned.append(NOTHING)
        self.flow = met([*self.frame.ends, self.flow])
        value = either(self.frame.returned)
        if len(self.frame.chain) == 1:
            self.let_go(value)  # whoever calls it from elsewhere has it
        return value or ANYTHING

    def _job_of(self, decorator: JobDecorator) -> Job:
        node = decorator.made_at
        at = node.args[0] if node.args else node
        job = self.create(node, decorator.tag, at, Arguments(), ast.dump(node))
        job.is_used = job.is_ended = job.is_explicit = True
        return job

    def call_unknown(self, name: str, given: Arguments) -> Value:
        """Read a call of what is not known, which may call the functions it is given.

        Args:
            name: The last part of what is called.
            given: The arguments.
        """
        places = [n for n, one in enumerate(given.by_place) if _functions_in(one.value)]
        target = given.find("target") or given.find("function") or given.find("func")
        if places and name in _MAPPERS:
            items = given.without_first(places[0] + 1).by_place
            inner = [Argument(self.item_of(one.value), one.at) for one in items]
            if name == "starmap" and inner:
                listed = self.items_of(inner[0].value) or (ANYTHING,)
                inner = [Argument(item, inner[0].at) for item in listed]
            self._run_some_time(
                given.by_place[places[0]].value, Arguments(tuple(inner))
            )
        elif places and name in _CARRIERS:
            inner_given = given.without_first(places[0] + 1)
            self._run_some_time(given.by_place[places[0]].value, inner_given)
        elif target is not None and name in _CARRIERS:
            self._run_some_time(target.value, self._arguments_of_thread(given))
        else:
            self._let_all_go(given)
        return ANYTHING

    def _let_all_go(self, given: Arguments) -> Value:
        for argument in given:
            self.let_go(argument.value)
        return ANYTHING

    def _arguments_of_thread(self, given: Arguments) -> Arguments:
        """Return the arguments that a thread's or process's function gets."""
        args, kwargs = given.find("args"), given.find("kwargs")
        items = self.items_of(args.value) if args else ()
        by_place = [Argument(item, args.at) for item in items or () if args]
        by_name: list[tuple[str, Argument]] = []
        tables = [t for t in (kwargs.value if kwargs else ()) if isinstance(t, Table)]
        for table in tables:
            if kwargs:
                by_name += [(k, Argument(v, kwargs.at)) for k, v in table.values]
        has_more = items is None or (kwargs is not None and not tables)
        return Arguments(tuple(by_place), tuple(by_name), has_more)

    def _run_some_time(self, value: Value, given: Arguments) -> None:
        for function in _functions_in(value):
            with self.at_any_time():
                self.call_function(function, given, None, at_once=True)

    def let_run(self, value: Value) -> None:
        """Note that functions may be called some time, with arguments not known."""
        for function in _functions_in(value):
            is_enough = self.is_long and function.node in self._was_read
            if function.node not in self.frame.chain and not is_enough:
                with self.at_any_time():
                    self.call_function(function, Arguments(), None, at_once=True)

    def let_go(self, value: Value) -> None:
        """Note that a value goes where it cannot be followed."""
        self.change(value)
        self.let_run(value)
        for thing in value:
            self._let_thing_go(thing)

    def _let_thing_go(self, thing: Thing) -> None:
        match thing:
            case Job():
                thing.leave()
            case StepHandle(job) | Steps(job) | Tracked(StepHandle(job)):
                job.leave()
            case Method(owner):
                self._let_thing_go(owner)
            case Items(values):
                for value in values:
                    self.let_go(value)
            case Table(values):
                for _, value in values:
                    self.let_go(value)
            case _:
                pass


def _functions_in(value: Value) -> list[Function]:
    return [thing for thing in value if isinstance(thing, Function)]


def _runs_later(function: Function, *, at_once: bool) -> bool:
    """Tell whether the body of a function runs some time after its call."""
    node = function.node
    if isinstance(node, ast.Lambda):
        return False
    if function.is_strange or _yields(node):
        return True
    return isinstance(node, ast.AsyncFunctionDef) and not at_once


def _yields(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    inner: list[ast.AST] = list(node.body)
    while inner:
        one = inner.pop()
        if isinstance(one, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inner.extend(ast.iter_child_nodes(one))
    return False
