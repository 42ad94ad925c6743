"""Loops whose items are counted as units of a step."""

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

from trackerapi.arguments import as_number, check_callable, refuse_unknown
from trackerapi.jobs.current import left_innermost
from trackerapi.jobs.options import LoopOptions
from trackerapi.process.clock import steady_seconds

if TYPE_CHECKING:
    from trackerapi.jobs.counting import UnitCount
    from trackerapi.jobs.step import TrackerStep

Item = TypeVar("Item")

INTERVAL_SECONDS: Final = 0.25
"""How often a loop tells its step how far it is; the step writes once a second."""


class Loop(Generic[Item]):
    """Items of a step, each counted when the next one is asked for.

    An item whose body raises, or is left by `break`, is not counted.

    Args:
        step: Handle of the step.
        items: What to iterate over.
        options: See `LoopOptions`.
        is_whole_step: Whether the loop is all of its step: starts it, and it is done
            when there are no more items.

    Raises:
        TypeError: If `items` cannot be iterated over, or an option is unknown.
    """

    def __init__(
        self,
        step: "TrackerStep",
        items: "Iterable[Item] | AsyncIterable[Item]",
        options: LoopOptions,
        *,
        is_whole_step: bool = False,
    ) -> None:
        refuse_unknown("track", options.keys(), LoopOptions.__optional_keys__)
        given: object = items
        # `for` takes what has only `__getitem__`, too, such as a data set of PyTorch.
        is_sequence = hasattr(type(given), "__getitem__")
        if not is_sequence and not isinstance(given, Iterable | AsyncIterable):
            kind = type(given).__name__
            raise TypeError(f"items must be something to iterate over, got {kind}")
        self._step, self._items = step, items
        self._is_whole_step = is_whole_step
        self._weight = options.get("weight")
        self._key = options.get("key")
        check_callable("weight", self._weight)
        check_callable("key", self._key)
        resume: object = options.get("resume", ())
        if not isinstance(resume, Container):
            # Nor an iterator, of which a look at one item would use up those before.
            kind = type(resume).__name__
            raise TypeError(f"resume must be a set or the like, got {kind}")
        self._resume: Container[object] = resume
        total = options.get("total")
        self._total = self._known_total() if total is None else total

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
            return self._weighed()
        return self._counted()

    def _counted(self) -> Generator[Item]:
        """Count one unit an item, in few steps: a job may have millions of them."""
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
            self._leave()
        self._end()

    def _weighed(self) -> Generator[Item]:
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
            self._leave()
        self._end()

    def _begin(self) -> "UnitCount":
        if self._is_whole_step:
            self._step.start()
        return self._begun()

    async def _begin_off_loop(self) -> "UnitCount":
        if self._is_whole_step:
            from trackerapi.process.event_loops import done_by

            await done_by(self._step.post, self._step.start)
        return self._begun()

    def _begun(self) -> "UnitCount":
        count = self._step.start_loop(is_whole_step=self._is_whole_step)
        if self._total is not None:
            count.expect(self._total)
        return count

    async def _end_off_loop(self) -> None:
        if self._is_whole_step:
            from trackerapi.process.event_loops import done_by

            self._step.leave_block()
            await done_by(self._step.post, self._step.end_loop)

    def _leave(self) -> None:
        if self._is_whole_step:
            # By `break` or an exception as well: the code behind is not in the step.
            left_innermost(self._step.job, self._step)

    def _end(self) -> None:
        # Not where the loop is left by `break` or an exception: nobody tells which.
        if self._is_whole_step:
            self._step.end_loop()

    def _is_done(self, item: Item) -> bool:
        if not self._resume:
            return False
        return (self._key(item) if self._key else item) in self._resume

    def _known_total(self) -> float | None:
        if self._weight is None:
            return _length(self._items)
        if isinstance(self._items, Collection):  # not an iterator, which is used up
            return sum(_units(self._weight, item) for item in self._items)
        return None


def _length(items: object) -> float | None:
    if not isinstance(items, Sized):
        return None
    try:
        return len(items)
    except Exception:  # noqa: BLE001 - `for` does not ask, and some cannot tell
        return None


def _units(weight: Callable[[Any], float], item: object) -> float:
    """Return what an item weighs; less than nothing, and NaN, are nothing.

    Raises:
        TypeError: If it is no number.
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
