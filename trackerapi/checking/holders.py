"""Lists, tuples, dicts, and comprehensions that make them."""

import ast
from typing import Any, Final

from trackerapi.checking.reports import Reports
from trackerapi.checking.scopes import Scope
from trackerapi.checking.values import (
    ANYTHING,
    Items,
    Number,
    StepHandle,
    Steps,
    Table,
    Text,
    Thing,
    Tracked,
    Value,
    either,
    just,
    texts_of,
)

MOST_UNROLLED: Final = 40
"""Items up to which a loop over known ones is read once for each."""


class Holders(Reports):
    """Evaluates what holds other values."""

    def evaluate(self, node: ast.expr) -> Value:
        """Return what an expression may be, and note what it reports."""
        raise NotImplementedError

    def call(self, node: ast.Call, *, at_once: bool = False) -> Value:
        """Return what a call may return.

        Args:
            node: The call.
            at_once: Whether a coroutine that it returns runs right here.
        """
        raise NotImplementedError

    def let_go(self, value: Value) -> None:
        """Note that a value goes where it cannot be followed."""
        raise NotImplementedError

    def assign(self, target: ast.expr, value: Value) -> None:
        """Assign a value to a target."""
        raise NotImplementedError

    def items_of(self, value: Value) -> tuple[Value, ...] | None:
        """Return the items of what is surely one known list or tuple, else None."""
        for thing in value:
            if len(value) == 1 and isinstance(thing, Items):
                return None if self.is_changed(thing) else thing.values
        return None

    def item_of(self, value: Value) -> Value:
        """Return what an item may be, when a value is iterated over."""
        tracked = [thing.step for thing in value if isinstance(thing, Tracked)]
        self.report_handles(tracked, begins=len(value) == 1)
        return either(self._item_of_thing(thing) for thing in value) or ANYTHING

    def _item_of_thing(self, thing: Thing) -> Value:
        if isinstance(thing, Steps):
            thing.job.is_open = thing.job.is_used = True
        if isinstance(thing, Items) and thing.values and not self.is_changed(thing):
            return either(thing.values)
        if isinstance(thing, Table) and thing.values and not self.is_changed(thing):
            return frozenset(Text(key) for key, _ in thing.values)
        return ANYTHING

    def read_subscript(self, node: ast.Subscript) -> Value:
        """Return what an item may be that is chosen by a number or key."""
        owner, index = self.evaluate(node.value), self.evaluate(node.slice)
        found = [self._chosen(thing, index, node) for thing in owner]
        return either(found) or ANYTHING

    def _chosen(self, thing: Thing, index: Value, node: ast.Subscript) -> Value:
        chosen = next(iter(index)) if len(index) == 1 else None
        if isinstance(thing, Steps):
            return just(StepHandle(thing.job, index, node.slice))
        if not isinstance(thing, Items | Table) or self.is_changed(thing):
            return ANYTHING
        if isinstance(thing, Table):
            known = dict(thing.values)
            if isinstance(chosen, Text) and chosen.text in known:
                return known[chosen.text]
            return either(known.values()) | ANYTHING
        if isinstance(node.slice, ast.Slice):
            return _sliced(thing, node.slice)
        if not isinstance(chosen, Number):
            return either(thing.values) or ANYTHING
        is_there = -len(thing.values) <= chosen.number < len(thing.values)
        return thing.values[chosen.number] if is_there else ANYTHING

    def read_sequence(self, node: ast.List | ast.Tuple | ast.Set) -> Value:
        """Return a list or tuple whose items are known."""
        values: list[Value] = []
        for part in node.elts:
            if isinstance(part, ast.Starred):
                inner = self.items_of(self.evaluate(part.value))
                if inner is None:
                    return self._sequence_of_anything(node)
                values.extend(inner)
            else:
                values.append(self.evaluate(part))
        if isinstance(node, ast.Set) and values:
            values = [either(values)]  # in which order is not known
        made_at = None if isinstance(node, ast.Tuple) else node
        return just(Items(tuple(values), made_at))

    def _sequence_of_anything(self, node: ast.List | ast.Tuple | ast.Set) -> Value:
        for part in node.elts:
            inner = part.value if isinstance(part, ast.Starred) else part
            self.let_go(self.evaluate(inner))
        return ANYTHING

    def read_dict(self, node: ast.Dict) -> Value:
        """Return a dict whose keys are known."""
        values: list[tuple[str, Value]] = []
        is_known = True
        for key, item in zip(node.keys, node.values, strict=True):
            texts, has_others = texts_of(self.evaluate(key) if key else ANYTHING)
            value = self.evaluate(item)
            if len(texts) == 1 and not has_others:
                values.append((texts[0].text, value))
            else:
                is_known = False
                self.let_go(value)
        return just(Table(tuple(values), node)) if is_known else ANYTHING

    def read_list_of(self, node: ast.ListComp | ast.SetComp) -> Value:
        """Return the list that a comprehension over known items makes."""
        first = node.generators[0]
        items = self.items_of(self.evaluate(first.iter))
        is_plain = len(node.generators) == 1 and not first.ifs
        if items is None or len(items) > MOST_UNROLLED or not is_plain:
            return self._read_some(node.generators, [node.elt])
        values: list[Value] = []
        with self.in_scope(Scope(self.frame.scope)):
            for item in items:
                self.assign(first.target, item)
                values.append(self.evaluate(node.elt))
        return just(Items(tuple(values), node))

    def read_dict_of(self, node: ast.DictComp) -> Value:
        """Read a comprehension that makes a dict."""
        return self._read_some(node.generators, [node.key, node.value])

    def read_generator(self, node: ast.GeneratorExp) -> Value:
        """Read a generator, whose items are made some time."""
        with self.at_any_time():
            return self._read_some(node.generators, [node.elt])

    def _read_some(
        self, generators: list[ast.comprehension], made: list[ast.expr]
    ) -> Value:
        def once() -> None:
            for generator in generators:
                self.assign(generator.target, self.item_of(self._iterated(generator)))
                for condition in generator.ifs:
                    self.evaluate(condition)
            for part in made:
                self.let_go(self.evaluate(part))

        with self.in_scope(Scope(self.frame.scope)):
            self.alternatives([once, lambda: None])
        return ANYTHING

    def _iterated(self, generator: ast.comprehension) -> Value:
        return self.evaluate(generator.iter)


def _sliced(items: Items, by: ast.Slice) -> Value:
    """Return a part of a list or tuple."""
    bounds: list[int | None] = []
    for bound in (by.lower, by.upper, by.step):
        try:
            value: Any = None if bound is None else ast.literal_eval(bound)
        except ValueError:
            return ANYTHING
        is_number = value is None or type(value) is int
        if not is_number or (value == 0 and bound is by.step):
            return ANYTHING
        bounds.append(value)
    return just(Items(items.values[slice(*bounds)], items.made_at))
