"""Decorators that run a function as a job or as a step of the current one.

Right for functions, coroutines, generators and async generators: the block ends when
the work does. Between two items of a generator the caller is not in its step.
"""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from trackerapi.arguments import check_name
from trackerapi.jobs.current import current_blocks, current_job, set_current_blocks
from trackerapi.jobs.step import TrackerStep, step_block
from trackerapi.process.block import Block

if TYPE_CHECKING:
    from trackerapi.process.event_loops import AsyncBlock

Function = TypeVar("Function", bound=Callable[..., Any])

Open = Callable[[tuple[Any, ...], dict[str, Any]], Block]
"""Returns the block of a call with these arguments."""


class step:  # noqa: N801 - reads as a decorator and as a block
    """Run a function, or a block, as a step of the current job.

    Outside of a job it does nothing. In an event loop `async with` never waits for a
    disk, and neither does a decorated coroutine function.

    Args:
        name: Tag or unambiguous display name of the step.
        total: Units in all; None while nobody knows.
        on_failure: What the customer reads if the step fails; None for a neutral
            sentence.

    Example:
        @step("load")
        def load(study):
            current_step().total = len(study)
    """

    def __init__(
        self, name: str, *, total: float | None = None, on_failure: str | None = None
    ) -> None:
        if callable(name):
            raise TypeError('@step needs the name of a step: @step("...")')
        self._name = check_name("name", name)
        self._total, self._on_failure = total, on_failure
        self._entered: list[TrackerStep] = []

    def __call__(self, function: Function) -> Function:
        """Return `function` so that each call runs as the step."""
        return wrapped(function, lambda _args, _given: step_block(self._handle()))

    def __enter__(self) -> TrackerStep:
        self._entered.append(self._handle())
        return self._entered[-1].__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pop().__exit__(kind, error, traceback)

    async def __aenter__(self) -> TrackerStep:
        from trackerapi.process.event_loops import begin

        step = self._handle()
        await begin(step_block(step))
        self._entered.append(step)
        return step

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        from trackerapi.process.event_loops import end

        await end(step_block(self._pop()), error)

    def _pop(self) -> TrackerStep:
        """Return and forget the step that the running code entered last.

        Threads and tasks may share this object, each with a job of its own.
        """
        for block in reversed(current_blocks()):
            if block.step is not None and block.step in self._entered:
                self._entered.remove(block.step)
                return block.step
        return self._entered.pop()

    def _handle(self) -> TrackerStep:
        return current_job().step(
            self._name, total=self._total, on_failure=self._on_failure
        )


def wrapped(function: Function, opened: Open, *, is_slow: bool = False) -> Function:
    """Return `function` so that each call runs in a block.

    Args:
        function: A function of any kind.
        opened: Returns the block of a call.
        is_slow: Whether `opened` may wait for a network, which must not hold an
            event loop.
    """
    make: Callable[..., Any] = _call
    if inspect.isasyncgenfunction(function):
        make = _async_generator
    elif inspect.iscoroutinefunction(function):
        make = _coroutine
    elif inspect.isgeneratorfunction(function):
        make = _generator
    return cast("Function", functools.wraps(function)(make(function, opened, is_slow)))


def _call(function: Callable[..., Any], opened: Open, _is_slow: bool) -> Any:
    def run(*args: Any, **given: Any) -> Any:
        with opened(args, given):
            return function(*args, **given)

    return run


def _coroutine(function: Callable[..., Any], opened: Open, is_slow: bool) -> Any:
    async def run(*args: Any, **given: Any) -> Any:
        async with await _opened(opened, args, given, is_slow):
            return await function(*args, **given)

    return run


def _generator(function: Callable[..., Any], opened: Open, _is_slow: bool) -> Any:
    def run(*args: Any, **given: Any) -> Generator[Any, Any, Any]:
        outside = current_blocks()
        try:
            with opened(args, given):
                inside = current_blocks()
                generator = function(*args, **given)
                advance: Callable[[], Any] = functools.partial(next, generator)
                while True:
                    try:
                        item = advance()
                    except StopIteration as end:
                        return end.value
                    set_current_blocks(outside)
                    try:
                        sent = yield item
                        advance = functools.partial(generator.send, sent)
                    except GeneratorExit:
                        # The caller has had enough: that is an end like any other.
                        outside = current_blocks()
                        set_current_blocks(inside)
                        generator.close()
                        return None
                    except BaseException as error:  # noqa: BLE001 - is the generator's
                        advance = functools.partial(generator.throw, error)
                    outside = current_blocks()
                    set_current_blocks(inside)
        finally:
            # Not where it began: the caller may be in another step by now.
            set_current_blocks(outside)

    return run


def _async_generator(function: Callable[..., Any], opened: Open, is_slow: bool) -> Any:
    async def run(*args: Any, **given: Any) -> AsyncGenerator[Any]:
        outside = current_blocks()
        try:
            async with await _opened(opened, args, given, is_slow):
                inside = current_blocks()
                generator = function(*args, **given)
                try:
                    async for item in generator:
                        set_current_blocks(outside)
                        try:
                            yield item
                        finally:
                            outside = current_blocks()
                            set_current_blocks(inside)
                except GeneratorExit:
                    await generator.aclose()
        finally:
            set_current_blocks(outside)  # as above

    return run


async def _opened(
    opened: Open, args: tuple[Any, ...], given: dict[str, Any], is_slow: bool
) -> "AsyncBlock[Block]":
    import asyncio

    from trackerapi.process.event_loops import AsyncBlock, PendingBlock

    if not is_slow:
        return AsyncBlock(opened(args, given))
    pending = PendingBlock(functools.partial(opened, args, given))
    try:
        return AsyncBlock(await pending.result())
    except asyncio.CancelledError as error:
        pending.abandon(error)  # the thread makes the block, but no task runs it
        raise
