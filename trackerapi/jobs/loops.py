"""Loops that count their items as units of a step."""

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Collection,
    Container,
    Generator,
    Iterable,
    Iterator,
    Sized,
)
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from trackerapi.arguments import as_number, check_callable
from trackerapi.process.clock import steady_seconds

if TYPE_CHECKING:
    from trackerapi.jobs.blocks import StepLoop
    from trackerapi.jobs.counting import UnitCount

Item = TypeVar("Item")

INTERVAL_SECONDS: Final = 0.25
"""Minimum time between two counts of a loop, in seconds."""


class Loop(Generic[Item]):
    """Iterable of the items of a step; counts an item when the next item is requested.

    An item is not counted if the loop body raises an exception or leaves the loop by
    `break`.

    Args:
        loop: Loop of the step.
        items: Items to iterate over.
        total: Total number of units; None uses the length of `items`, or the sum of the
            weights of a collection.
        weight: Function that returns the units of an item; None counts each item as 1.
        key: Function that returns the key of an item in `resume`; None uses the item
            itself.
        resume: Keys of items that an earlier run has done. The loop counts these items
            as done and does not yield them.

    Raises:
        TypeError: If an argument is of the wrong type.
    """

    def __init__(
        self,
        loop: "StepLoop",
        items: "Iterable[Item] | AsyncIterable[Item]",
        *,
        total: float | None,
        weight: Callable[[Any], float] | None,
        key: Callable[[Any], object] | None,
        resume: Container[object],
    ) -> None:
        given: object = items
        # `for` also iterates over objects that have only `__getitem__`, such as data
        # sets of PyTorch.
        is_sequence = hasattr(type(given), "__getitem__")
        if not is_sequence and not isinstance(given, Iterable | AsyncIterable):
            kind = type(given).__name__
            raise TypeError(f"items must be iterable, got {kind}")
        check_callable("weight", weight)
        check_callable("key", key)
        keys: object = resume
        if not isinstance(keys, Container):
            # Iterators are refused too: each use of `in` would consume the items before
            # a match.
            kind = type(keys).__name__
            raise TypeError(f"resume must be a set or another container, got {kind}")
        self._loop, self._items = loop, items
        self._weight, self._key, self._resume = weight, key, resume
        self._total = self._find_total() if total is None else total

    def __len__(self) -> int:
        return len(cast("Sized", self._items))

    def __iter__(self) -> Iterator[Item]:
        return self._run()

    async def __aiter__(self) -> AsyncIterator[Item]:
        count, done, due = await self._begin_off_loop(), 0.0, 0.0
        weight, clock = self._weight, steady_seconds
        try:
            async for item in _each(self._items):
                units = _units(weight, item) if weight else 1.0
                if self._is_done(item):
                    count.add(units, is_resumed=True)
                    continue
                yield item
                done += units
                now = clock()
                if now >= due:
                    count.add(done)
                    done, due = 0.0, now + INTERVAL_SECONDS
        finally:
            if done:
                count.add(done)
        await self._end_off_loop()

    def _run(self) -> Iterator[Item]:
        if self._weight or self._resume:
            return self._yield_weighed()
        return self._yield_counted()

    def _yield_counted(self) -> Generator[Item]:
        """Yield the items and count 1 for each.

        The loop runs few instructions for each item: a job may have millions of items.
        """
        count, done, due, clock = self._begin(), 0, 0.0, steady_seconds
        try:
            for item in cast("Iterable[Item]", self._items):
                yield item
                done += 1
                if clock() >= due:
                    count.add(done)
                    done, due = 0, clock() + INTERVAL_SECONDS
        finally:
            if done:
                count.add(done)
            # Leave the step after `break` or an exception, too: the code behind the
            # loop is not part of the step.
            self._loop.leave()
        # Report the end only after the last item: a generator cannot distinguish
        # `break` from an exception of the loop body. The end of the job distinguishes
        # the two.
        self._loop.end()

    def _yield_weighed(self) -> Generator[Item]:
        count, done, due = self._begin(), 0.0, 0.0
        weight, clock = self._weight, steady_seconds
        try:
            for item in cast("Iterable[Item]", self._items):
                units = _units(weight, item) if weight else 1.0
                if self._is_done(item):
                    count.add(units, is_resumed=True)
                    continue
                yield item
                done += units
                now = clock()
                if now >= due:
                    count.add(done)
                    done, due = 0.0, now + INTERVAL_SECONDS
        finally:
            if done:
                count.add(done)
            # Also after `break` or an exception: see `_yield_counted()`.
            self._loop.leave()
        self._loop.end()

    def _begin(self) -> "UnitCount":
        self._loop.start()
        return self._enter()

    async def _begin_off_loop(self) -> "UnitCount":
        if self._loop.is_whole_step:
            from trackerapi.process.event_loops import run_posted

            await run_posted(self._loop.block.post, self._loop.start)
        return self._enter()

    def _enter(self) -> "UnitCount":
        count = self._loop.enter()
        if self._total is not None:
            count.expect(self._total)
        return count

    async def _end_off_loop(self) -> None:
        if self._loop.is_whole_step:
            from trackerapi.process.event_loops import run_posted

            self._loop.block.leave_block()
            await run_posted(self._loop.block.post, self._loop.end)

    def _is_done(self, item: Item) -> bool:
        if not self._resume:
            return False
        return (self._key(item) if self._key else item) in self._resume

    def _find_total(self) -> float | None:
        if self._weight is None:
            return _length(self._items)
        # The sum would consume the items of an iterator.
        if isinstance(self._items, Collection):
            return sum(_units(self._weight, item) for item in self._items)
        return None


def _length(items: object) -> float | None:
    if not isinstance(items, Sized):
        return None
    try:
        return len(items)
    except Exception:  # noqa: BLE001 - a foreign __len__ may raise anything
        return None


def _units(weight: Callable[[Any], float], item: object) -> float:
    """Return the units of an item; 0 for negative numbers and NaN.

    Raises:
        TypeError: If `weight` returns something other than a number.
    """
    units = as_number("weight", weight(item))
    return float(units) if units > 0 else 0.0


async def _each(
    items: "Iterable[Item] | AsyncIterable[Item]",
) -> AsyncIterator[Item]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
