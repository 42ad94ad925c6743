"""Loops: what the first round does, and what may have happened before a later one."""

import ast
from typing import TypeAlias

from trackerapi.checking.calls import Calls
from trackerapi.checking.flow import Moment, meeting
from trackerapi.checking.holders import MOST_UNROLLED
from trackerapi.checking.reading import Loop
from trackerapi.checking.scopes import joined
from trackerapi.checking.values import Value, widened

_Loop: TypeAlias = ast.For | ast.AsyncFor


class Loops(Calls):
    """Reads loops."""

    def read_for(self, node: _Loop) -> None:
        """Read a loop: for each of few known items, else as often as it may run."""
        value = self.evaluate(node.iter)
        items = self.items_of(value) if isinstance(node, ast.For) else None
        loop = Loop()
        self.frame.loops.append(loop)
        if items is not None and len(items) <= MOST_UNROLLED:
            for item in items:
                self._round(node, item, loop)
        else:
            item = self.item_of(value)
            before = self.moment()
            self._round(node, item, loop)
            self._again(node, item, before, loop)
        self.frame.loops.pop()
        self.walk(node.orelse)
        self.go_to(meeting([self.moment(), *loop.breaks]))

    def _round(self, node: _Loop | ast.While, item: Value | None, loop: Loop) -> None:
        """Read a loop's body once; go on where the next round would begin."""
        if isinstance(node, ast.While):
            self.evaluate(node.test)
        elif item is not None:
            self.assign(node.target, item)
        self.walk(node.body)
        self.go_to(meeting([self.moment(), *loop.continues]))
        loop.continues.clear()

    def _again(
        self, node: _Loop | ast.While, item: Value | None, before: Moment, loop: Loop
    ) -> None:
        """Read a body once more, for all rounds behind the first; then leave the loop.

        Args:
            node: The loop.
            item: What its name may stand for; None for a `while`.
            before: What was known before the first round.
            loop: Where it can be left.
        """
        after = self.moment()
        both = meeting([before, after])
        names = {
            name: widened(before.names.get(name, frozenset()), value)
            for name, value in joined([before.names, after.names]).items()
        }
        self.go_to(Moment(names, both.flow))
        self._round(node, item, loop)
        # It may be left before the first round, and after any.
        self.go_to(meeting([Moment(names, before.flow), after, self.moment()]))

    def read_while(self, node: ast.While) -> None:
        """Read a loop that runs as long as a condition holds."""
        loop, before = Loop(), self.moment()
        self.frame.loops.append(loop)
        self._round(node, None, loop)
        self._again(node, None, before, loop)
        self.frame.loops.pop()
        self.evaluate(node.test)
        if isinstance(node.test, ast.Constant) and node.test.value:
            self.flow = None  # it is left by `break` alone
        self.walk(node.orelse)
        self.go_to(meeting([self.moment(), *loop.breaks]))

    def read_break(self, _node: ast.Break) -> None:
        """Leave the loop."""
        if self.frame.loops:
            self.frame.loops[-1].breaks.append(self.moment())
        self.flow = None

    def read_continue(self, _node: ast.Continue) -> None:
        """Begin the next round."""
        if self.frame.loops:
            self.frame.loops[-1].continues.append(self.moment())
        self.flow = None
