"""What expressions may stand for."""

import ast
import builtins
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Final

from trackerapi.checking.holders import Holders
from trackerapi.checking.jobs import Job
from trackerapi.checking.values import (
    ANYTHING,
    NOTHING,
    TRACKERS,
    Anything,
    Builtin,
    Class,
    Config,
    Function,
    Instance,
    Items,
    Library,
    LoadedConfigs,
    Method,
    Nothing,
    Number,
    StepConfig,
    StepHandle,
    Steps,
    Table,
    Text,
    Thing,
    Tracker,
    Value,
    either,
    just,
    texts_of,
)


class Expressions(Holders):
    """Evaluates expressions as far as reading tells."""

    def evaluate(self, node: ast.expr) -> Value:
        """Return what an expression may be, and note what it reports."""
        self.count()
        read = _READERS.get(type(node))
        if read is not None:
            return read(self, node)
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.expr):
                self.evaluate(part)
        return ANYTHING

    def read_constant(self, node: ast.Constant) -> Value:
        """Return a text, a whole number or None."""
        if isinstance(node.value, str):
            return just(Text(node.value, node))
        if type(node.value) is int:
            return just(Number(node.value))
        return NOTHING if node.value is None else ANYTHING

    def read_name(self, node: ast.Name) -> Value:
        """Return what a name stands for."""
        value = self.frame.scope.find(node.id)
        if value is not None:
            return value
        return just(Builtin(node.id)) if hasattr(builtins, node.id) else ANYTHING

    def read_attribute(self, node: ast.Attribute) -> Value:
        """Return what an attribute may be."""
        owner = self.evaluate(node.value)
        return either(self.attribute(thing, node.attr) for thing in owner) or ANYTHING

    def attribute(self, thing: Thing, name: str) -> Value:
        """Return what an attribute of a thing may be."""
        match thing:
            case Config(config) if name == "step_configurations":
                steps = config.step_configurations
                return just(Items(tuple(just(StepConfig(step)) for step in steps)))
            case Config(named) | StepConfig(named) if name in {"tag", "name"}:
                return just(Text(named.tag if name == "tag" else named.name))
            case Text() if name == "value":  # of a member of an enumeration
                return just(thing)
            case Library(owner) if owner not in TRACKERS:
                return just(Library(name))
            case Job() | StepHandle():
                return _attribute_of_handle(thing, name)
            case Class() | Instance():
                return _attribute_of_class(thing, name)
            case _:
                return _method(thing, name)

    def read_joined(self, node: ast.JoinedStr) -> Value:
        """Return the text of an f-string whose parts are all known."""
        known: list[str] | None = []
        for part in node.values:
            is_plain = isinstance(part, ast.FormattedValue) and (
                part.conversion == -1 and part.format_spec is None
            )
            inner = part.value if isinstance(part, ast.FormattedValue) else part
            text = self._only_text(self.evaluate(inner))
            is_plain |= isinstance(part, ast.Constant)
            is_known = is_plain and text is not None and known is not None
            known = [*(known or ()), text or ""] if is_known else None
        return just(Text("".join(known))) if known is not None else ANYTHING

    def read_operation(self, node: ast.BinOp) -> Value:
        """Return known texts put together."""
        first: ast.expr = node
        others: list[tuple[ast.operator, ast.expr]] = []
        while isinstance(first, ast.BinOp):  # a long sum is nested as deep
            others.append((first.op, first.right))
            first = first.left
        known = self._only_text(self.evaluate(first))
        for operator, other in reversed(others):
            text = self._only_text(self.evaluate(other))
            is_known = isinstance(operator, ast.Add) and text is not None
            known = known + (text or "") if is_known and known is not None else None
        return ANYTHING if known is None else just(Text(known))

    def _only_text(self, value: Value) -> str | None:
        texts, has_others = texts_of(value)
        is_one = len(texts) == len(value) == 1 and not has_others
        return texts[0].text if is_one else None

    def read_negative(self, node: ast.UnaryOp) -> Value:
        """Return a number below 0."""
        things = self.evaluate(node.operand)
        if isinstance(node.op, ast.USub):
            numbers = [thing for thing in things if isinstance(thing, Number)]
            if len(numbers) == len(things) == 1:
                return just(Number(-numbers[0].number))
        return ANYTHING

    def read_either(self, node: ast.BoolOp) -> Value:
        """Return any of the operands; those behind the first may not be read."""
        first, *others = node.values
        values = [self.evaluate(first)]
        for other in others:
            evaluate = functools.partial(self.evaluate, other)
            values += self.alternatives([evaluate, _no_value])
        return either(values)

    def read_choice(self, node: ast.IfExp) -> Value:
        """Return what either branch may be."""
        self.evaluate(node.test)
        ways = [
            functools.partial(self.evaluate, way) for way in (node.body, node.orelse)
        ]
        return either(self.alternatives(ways))

    def read_walrus(self, node: ast.NamedExpr) -> Value:
        """Assign within an expression."""
        value = self.evaluate(node.value)
        self.assign(node.target, value)
        return value

    def read_await(self, node: ast.Await) -> Value:
        """Return what is awaited."""
        if isinstance(node.value, ast.Call):
            return self.call(node.value, at_once=True)
        return self.evaluate(node.value)

    def read_lambda(self, node: ast.Lambda) -> Value:
        """Return a function without a name."""
        return just(Function(node, self.frame.scope))

    def read_yield(self, node: ast.Yield) -> Value:
        """Hand a value to whoever iterates."""
        if node.value is not None:
            self.let_go(self.evaluate(node.value))
        return ANYTHING


def _no_value() -> Value:
    return frozenset()


def _method(thing: Thing, name: str) -> Value:
    if isinstance(thing, Nothing):
        return frozenset()  # it is one of the other things that it may be
    is_known = isinstance(thing, Tracker | LoadedConfigs | Items | Table | Library)
    return just(Method(thing if is_known else Anything(), name))


def _attribute_of_handle(thing: Job | StepHandle, name: str) -> Value:
    if isinstance(thing, StepHandle):
        return just(thing.job if name == "job" else Method(thing, name))
    if name == "steps":
        return just(Steps(thing))
    if name == "config":
        return just(Config(thing.config)) if thing.config else ANYTHING
    return just(Method(thing, name))


def _attribute_of_class(thing: Class | Instance, name: str) -> Value:
    is_instance = isinstance(thing, Instance)
    of = thing.of if isinstance(thing, Instance) else thing
    found = of.attributes.get(name) if is_instance else None
    value = of.find(name) if found is None else found
    if value is None:
        return just(Method(Anything(), name))
    return frozenset(
        _bound(one, Instance(of), is_instance=is_instance)
        if isinstance(one, Function)
        else one
        for one in value
    )


def _bound(function: Function, owner: Instance, *, is_instance: bool) -> Function:
    """Return a method as it is found at an object, or else at its class."""
    if isinstance(function.node, ast.Lambda):
        return function
    names = {ast.unparse(decorator) for decorator in function.node.decorator_list}
    is_bound = is_instance and "staticmethod" not in names
    is_bound |= "classmethod" in names
    return dataclasses.replace(function, owner=owner if is_bound else None)


_READERS: Final[dict[type[ast.expr], Callable[[Expressions, Any], Value]]] = {
    ast.Constant: Expressions.read_constant,
    ast.Name: Expressions.read_name,
    ast.Attribute: Expressions.read_attribute,
    ast.Subscript: Expressions.read_subscript,
    ast.List: Expressions.read_sequence,
    ast.Tuple: Expressions.read_sequence,
    ast.Set: Expressions.read_sequence,
    ast.Dict: Expressions.read_dict,
    ast.JoinedStr: Expressions.read_joined,
    ast.BinOp: Expressions.read_operation,
    ast.UnaryOp: Expressions.read_negative,
    ast.BoolOp: Expressions.read_either,
    ast.IfExp: Expressions.read_choice,
    ast.NamedExpr: Expressions.read_walrus,
    ast.Await: Expressions.read_await,
    ast.Lambda: Expressions.read_lambda,
    ast.Yield: Expressions.read_yield,
    ast.YieldFrom: Expressions.read_yield,
    ast.ListComp: Expressions.read_list_of,
    ast.SetComp: Expressions.read_list_of,
    ast.DictComp: Expressions.read_dict_of,
    ast.GeneratorExp: Expressions.read_generator,
    ast.Call: lambda reader, node: reader.call(node),
}
