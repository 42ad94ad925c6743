"""Decorators that run each call of a function in the block of a job or step.

The decorators accept functions, coroutine functions, generators and async generators.
The block ends when the call or the generator ends. Between two items of a generator,
the code of the caller runs outside of the block.
"""

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from trackerapi.arguments import check_name
from trackerapi.jobs.current import current_blocks, current_job, set_current_blocks
from trackerapi.jobs.step import TrackerStep, step_block
from trackerapi.process.block import Block

if TYPE_CHECKING:
    from trackerapi.process.event_loops import AsyncBlock

Function = TypeVar("Function", bound=Callable[..., Any])

_DESCRIPTORS: Final = (
    classmethod,
    staticmethod,
    property,
    functools.cached_property,
)
"""Wrappers of methods: some are callable, but not as the method that they wrap."""

OpenBlock = Callable[[tuple[Any, ...], dict[str, Any]], Block]
"""Function that returns the block for a call, from the arguments of the call."""


class step:  # noqa: N801 - reads as a decorator and as a block
    """Run a function, or a block, as a step of the current job.

    Without a current job, `step` reports nothing. Decorated coroutine functions and
    `async with` write their reports in a thread: the event loop never waits for a disk.

    Args:
        name: Tag or unambiguous display name of the step.
        total: Total number of units, 0 to 2**53 - 1; None while unknown.
        on_failure: Text for the customer if the step fails; None for a neutral
            sentence.

    Raises:
        TypeError: If `name` is not text.
        ValueError: If `name` is blank, too long or contains control characters.

    Example:
        @step("load")
        def load(study):
            current_step().total = len(study)

        with step("report"):
            write_report()
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
        """Return a function that runs each call of `function` as the step.

        Raises:
            TypeError: If `function` is a class, a `classmethod`, another descriptor, or
                no function at all.
        """
        return run_in_block(function, lambda _args, _given: step_block(self._handle()))

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
        """Remove and return the step that the running code entered last.

        The last entry of `_entered` may belong to other code: threads and tasks with
        different jobs may share this object.
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


def run_in_block(
    function: Function, open_block: OpenBlock, *, is_slow: bool = False
) -> Function:
    """Return a function that runs each call of `function` in a block.

    Args:
        function: A function, coroutine function, generator or async generator.
        open_block: Function that returns the block for a call.
        is_slow: Whether `open_block` may wait for a network. In an event loop, a thread
            then calls `open_block`.

    Raises:
        TypeError: If `function` is a class, a `classmethod`, another descriptor, or no
            function at all.
    """
    _check_function(function)
    make: Callable[..., Any] = _call
    if inspect.isasyncgenfunction(function):
        make = _async_generator
    elif inspect.iscoroutinefunction(function):
        make = _coroutine
    elif inspect.isgeneratorfunction(function):
        make = _generator
    wrapper = make(function, open_block, is_slow)
    return cast("Function", functools.wraps(function)(wrapper))


def _check_function(function: object) -> None:
    """Raise TypeError, which names the fix, for an object that is not a function."""
    word = type(function).__name__
    if isinstance(function, _DESCRIPTORS):
        raise TypeError(
            f"only a function can be decorated as a step or job, got a {word}; write "
            f"@{word} in the line above this decorator"
        )
    if isinstance(function, type):
        raise TypeError(
            "only a function can be decorated as a step or job, got the class "
            f"{function.__name__}; decorate its methods"
        )
    if not callable(function):
        raise TypeError(
            f"only a function can be decorated as a step or job, got {word}"
        )


def _call(function: Callable[..., Any], open_block: OpenBlock, _is_slow: bool) -> Any:
    def run(*args: Any, **given: Any) -> Any:
        with open_block(args, given):
            return function(*args, **given)

    return run


def _coroutine(
    function: Callable[..., Any], open_block: OpenBlock, is_slow: bool
) -> Any:
    async def run(*args: Any, **given: Any) -> Any:
        async with await _open_off_loop(open_block, args, given, is_slow):
            return await function(*args, **given)

    return run


def _generator(
    function: Callable[..., Any], open_block: OpenBlock, _is_slow: bool
) -> Any:
    def run(*args: Any, **given: Any) -> Generator[Any, Any, Any]:
        outside = current_blocks()
        try:
            with open_block(args, given):
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
                        # The caller has closed the generator: the block ends as
                        # succeeded.
                        outside = current_blocks()
                        set_current_blocks(inside)
                        generator.close()
                        return None
                    except BaseException as error:  # noqa: BLE001 - is the generator's
                        advance = functools.partial(generator.throw, error)
                    outside = current_blocks()
                    set_current_blocks(inside)
        finally:
            # Restore the caller's blocks of the last `yield`: the caller may have
            # entered another step since the first item.
            set_current_blocks(outside)

    return run


def _async_generator(
    function: Callable[..., Any], open_block: OpenBlock, is_slow: bool
) -> Any:
    async def run(*args: Any, **given: Any) -> AsyncGenerator[Any, Any]:
        outside = current_blocks()
        try:
            async with await _open_off_loop(open_block, args, given, is_slow):
                inside = current_blocks()
                generator = function(*args, **given)
                advance: Callable[[], Awaitable[Any]] = generator.__anext__
                while True:
                    try:
                        item = await advance()
                    except StopAsyncIteration:
                        return
                    set_current_blocks(outside)
                    try:
                        sent = yield item
                        advance = functools.partial(generator.asend, sent)
                    except GeneratorExit:
                        # The caller has closed the generator: the block ends as
                        # succeeded.
                        outside = current_blocks()
                        set_current_blocks(inside)
                        await generator.aclose()
                        return
                    except BaseException as error:  # noqa: BLE001 - is the generator's
                        advance = functools.partial(generator.athrow, error)
                    outside = current_blocks()
                    set_current_blocks(inside)
        finally:
            # The caller may have entered another step since the first item.
            set_current_blocks(outside)

    return run


async def _open_off_loop(
    open_block: OpenBlock, args: tuple[Any, ...], given: dict[str, Any], is_slow: bool
) -> "AsyncBlock[Block]":
    import asyncio

    from trackerapi.process.event_loops import AsyncBlock, PendingBlock

    if not is_slow:
        return AsyncBlock(open_block(args, given))
    pending = PendingBlock(functools.partial(open_block, args, given))
    try:
        return AsyncBlock(await pending.result())
    except asyncio.CancelledError as error:
        # The thread may still make the block, but its task is cancelled: end the block.
        pending.abandon(error)
        raise
