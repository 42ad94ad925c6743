"""Calls: of the script's own functions, of the library, and of what is not known."""

import ast
import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from trackerapi.checking.arguments import Argument, Arguments
from trackerapi.checking.functions import Functions
from trackerapi.checking.jobs import Job
from trackerapi.checking.values import (
    ANYTHING,
    Builtin,
    Class,
    Function,
    Instance,
    Items,
    JobDecorator,
    Library,
    LoadedConfigs,
    Method,
    StepBlock,
    StepHandle,
    Table,
    Text,
    Thing,
    Tracker,
    Value,
    either,
    just,
    texts_of,
)
from trackerapi.events.event import KINDS

_RUNNERS: Final = frozenset({"run", "run_until_complete"})
_KEEPING: Final = frozenset(
    {"print", "len", "repr", "str", "type", "isinstance", "id", "bool", "hash", "any"}
    | {"enumerate", "zip", "list", "tuple", "set", "sorted", "reversed", "iter", "all"}
    | {"next", "min", "max", "sum", "range", "filter", "map", "frozenset", "callable"}
)
"""Functions that change nothing, and keep no handle."""

_ENTERING: Final = frozenset({"enter_context", "enter_async_context"})
_CREATING: Final = frozenset({"create_job", "run_job"})
_OF_NEW_JOBS: Final = frozenset({"customer_id", "provider_job_id", "tag"})
_READING: Final = frozenset({"get", "index", "count", "copy"})


class Calls(Functions):
    """Reads calls of every kind."""

    def call(self, node: ast.Call, *, at_once: bool = False) -> Value:
        """Return what a call may return.

        Args:
            node: The call.
            at_once: Whether a coroutine that it returns runs right here.
        """
        called = self.evaluate(node.func)
        given = self._arguments(node)
        methods = [thing for thing in called if isinstance(thing, Method)]
        jobs = [one.owner for one in methods if isinstance(one.owner, Job)]
        if jobs:
            # One of several: what one of them has, none of them lacks.
            others = [self.stranger] if len(jobs) < len(called) else []
            return self.call_job([*jobs, *others], methods[0].name, given, node)
        steps = [one.owner for one in methods if isinstance(one.owner, StepHandle)]
        if steps:
            is_sure = len(steps) == len(called)
            return self.call_steps(steps, methods[0].name, is_sure=is_sure)
        ways = [
            functools.partial(self._call_thing, thing, given, node, at_once=at_once)
            for thing in called
        ]
        return either(self.alternatives(ways)) if ways else ANYTHING

    def _arguments(self, node: ast.Call) -> Arguments:
        runs = isinstance(node.func, ast.Attribute) and node.func.attr in _RUNNERS
        by_place: list[Argument] = []
        has_more = any(keyword.arg is None for keyword in node.keywords)
        for part in node.args:
            if isinstance(part, ast.Starred):
                value = self.evaluate(part.value)
                items = self.items_of(value)
                has_more |= items is None
                by_place.extend(Argument(item, part) for item in items or ())
                if items is None:
                    self.let_go(value)
            elif runs and isinstance(part, ast.Call):
                by_place.append(Argument(self.call(part, at_once=True), part))
            else:
                by_place.append(Argument(self.evaluate(part), part))
        by_name: list[tuple[str, Argument]] = []
        for keyword in node.keywords:
            value = self.evaluate(keyword.value)
            if keyword.arg is None:
                self.let_go(value)
            else:
                by_name.append((keyword.arg, Argument(value, keyword.value)))
        return Arguments(tuple(by_place), tuple(by_name), has_more)

    def _call_thing(
        self, thing: Thing, given: Arguments, node: ast.Call, *, at_once: bool
    ) -> Value:
        match thing:
            case Function():
                return self.call_function(thing, given, node, at_once=at_once)
            case Library(name):
                return self.call_library(name, given, node)
            case Method(owner, name):
                return self._call_method(owner, name, given, node)
            case Class():
                return self._make(thing, given, node)
            case StepBlock() | JobDecorator():
                return self._decorated(thing, given)
            case Builtin(name):
                return self._call_builtin(name, given)
            case _:
                name = node.func.id if isinstance(node.func, ast.Name) else ""
                return self.call_unknown(name, given)

    def _call_method(
        self, owner: Thing, name: str, given: Arguments, node: ast.Call
    ) -> Value:
        match owner:
            case Tracker():
                return self.call_tracker(name, given, node)
            case Library():
                return just(Tracker())  # such as `AsyncTrackerApi.from_env()`
            case LoadedConfigs():
                return self.call_manager(name, given, node)
            case Items() | Table():
                return self._call_collection(owner, name, given)
            case _:
                return self._call_stranger(name, given, node)

    def _call_stranger(self, name: str, given: Arguments, node: ast.Call) -> Value:
        """Call a method of what is not known; it may still be a tracker or a job."""
        named = _OF_NEW_JOBS & dict(given.by_name).keys()
        is_new = named or len(given.by_place) > 2
        if (name in _CREATING and is_new) or (
            name in {"job", "as_job"} and len(named) > 1
        ):
            return self.call_tracker(name, given, node)
        if name == "get_job_config":
            return self.call_manager(name, given, node)
        if name == "send_event" and _is_report(given, node):
            return self.call_job([self.stranger], name, given, node)
        if name in _ENTERING and given.by_place:
            first = given.by_place[0]
            return self.enter(first.value)[1]
        step = given.find("step") if name == "track" else None
        if name in {"step", "skip"} and given.by_place:
            step = given.by_place[0]
        if step is not None:
            self.believe(step.value, step.at, is_of_job=_is_called_job(node))
        return self.call_unknown(name, given)

    def _call_collection(
        self, owner: Items | Table, name: str, given: Arguments
    ) -> Value:
        if isinstance(owner, Table) and not self.is_changed(owner):
            if name == "items":
                pairs = [
                    just(Items((just(Text(key)), value))) for key, value in owner.values
                ]
                return just(Items(tuple(pairs), owner.made_at))
            if name == "values":
                values = tuple(value for _, value in owner.values)
                return just(Items(values, owner.made_at))
            if name == "keys":
                keys = tuple(just(Text(key)) for key, _ in owner.values)
                return just(Items(keys, owner.made_at))
        if name not in _READING:
            self.change(just(owner))
        return self.call_unknown(name, given)

    def _call_builtin(self, name: str, given: Arguments) -> Value:
        if name not in _KEEPING:
            return self.call_unknown(name, given)
        for argument in given:
            self.let_run(argument.value)
            self.let_go(frozenset(t for t in argument.value if isinstance(t, Method)))
        first = given.by_place[0].value if given.by_place else ANYTHING
        if name in {"list", "tuple", "iter"}:
            return first
        if name == "str":
            return frozenset(t for t in first if isinstance(t, Text)) or ANYTHING
        return self._rearranged(name, given, first)

    def _rearranged(self, name: str, given: Arguments, first: Value) -> Value:
        """Return the items of an argument as a builtin function gives them again."""
        lists = [self.items_of(one.value) for one in given.by_place]
        known = lists[0] if lists else None
        if name == "zip":
            return _zipped(lists)
        if name == "reversed" and known is not None:
            return just(Items(known[::-1]))
        if name == "enumerate":
            items = (self.item_of(first),) if known is None else known
            return just(Items(tuple(_pair(ANYTHING, item) for item in items)))
        return just(Items((self.item_of(first),))) if name == "sorted" else ANYTHING

    def _make(self, of: Class, given: Arguments, node: ast.Call) -> Value:
        instance = Instance(of)
        starts = self.attribute(instance, "__init__")
        functions = [thing for thing in starts if isinstance(thing, Function)]
        for function in functions:
            self.call_function(function, given, node, at_once=False)
        if not functions:
            for argument in given:
                self.let_go(argument.value)
        return just(instance)

    def _decorated(self, by: StepBlock | JobDecorator, given: Arguments) -> Value:
        """Decorate a function by a call."""
        functions = given.by_place[0].value if given.by_place else frozenset[Thing]()
        decorated = [
            replace(one, decorators=(by, *one.decorators))
            for one in functions
            if isinstance(one, Function)
        ]
        return frozenset(decorated) or ANYTHING


def _is_report(given: Arguments, node: ast.Call) -> bool:
    """Tell whether a `send_event()` of what is not known is one of this library."""
    if given.find("kind"):
        return True
    kinds = texts_of(given.value("kind", 0))[0]
    return _is_called_job(node) and any(kind.text in KINDS for kind in kinds)


def _is_called_job(node: ast.Call) -> bool:
    """Tell whether the name of a method's owner says that it is a job."""
    owner = node.func.value if isinstance(node.func, ast.Attribute) else node.func
    name = owner.attr if isinstance(owner, ast.Attribute) else ""
    name = owner.id if isinstance(owner, ast.Name) else name
    return name.lower().endswith("job")


def _pair(first: Value, second: Value) -> Value:
    return just(Items((first, second)))


def _zipped(lists: Sequence[tuple[Value, ...] | None]) -> Value:
    known = [items for items in lists if items is not None]
    if not known:
        return ANYTHING
    length = min(map(len, known))
    rows = [
        just(Items(tuple(ANYTHING if items is None else items[at] for items in lists)))
        for at in range(length)
    ]
    return just(Items(tuple(rows)))
