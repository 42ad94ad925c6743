"""Leaving to a thread what would block an event loop.

Reports of one TrackerApi are done by one thread, in the order of their calls. Doing
them in the loop would be quicker, about 8 µs instead of 60, but a slow disk or `fsync`
takes milliseconds, a backend that is down takes seconds, and the traceback of a deep
recursion some 30 ms; nobody knows beforehand which of them it will be.
"""

import contextvars
import functools
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from trackerapi.process.block import Block
from trackerapi.process.switching import sharing

if TYPE_CHECKING:
    from asyncio import Future

Result = TypeVar("Result")
Opened = TypeVar("Opened", bound=Block)
Work = Callable[[], object]


async def done_by(post: Callable[[Work], object], work: Callable[[], Result]) -> Result:
    """Have `work` done somewhere else, and wait for it without blocking the loop.

    A task that is cancelled goes on at once; the work is done all the same.

    Args:
        post: Has it done in another thread.
        work: What to do; it sees the context variables of the caller.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()
    context = contextvars.copy_context()

    def do() -> None:
        try:
            with sharing():
                result = context.run(work)
            settle = functools.partial(_succeed, future, result)
        except BaseException as error:  # noqa: BLE001 - is the caller's
            settle = functools.partial(_fail, future, error)
        with suppress(RuntimeError):  # nobody waits: the loop is closed
            loop.call_soon_threadsafe(settle)

    post(do)
    return await future


async def in_thread(work: Callable[[], Result]) -> Result:
    """Have `work` done by a thread of its own, which may wait for a network.

    Not one of the loop's pool, for whose end `asyncio.run()` waits. Where no thread
    can be started, the work is done at once and blocks the loop: the job goes on.
    """

    def post(do: Work) -> None:
        if not sys.is_finalizing():  # a thread would be waited for that cannot begin
            with suppress(RuntimeError):  # a limit of the user, or the interpreter ends
                name = "trackerapi-question"
                threading.Thread(target=do, name=name, daemon=True).start()
                return
        do()

    return await done_by(post, work)


class Making(Generic[Opened]):
    """A block that a thread makes, which may wait for a network for seconds.

    Args:
        make: Makes it.
    """

    def __init__(self, make: Callable[[], Opened]) -> None:
        self._make = make
        self._made: Opened | None = None
        self._left_by: BaseException | None = None

    async def made(self) -> Opened:
        """Have the block made, and return it."""
        return await in_thread(self._do)

    def leave(self, error: BaseException) -> None:
        """End the block as soon as it is there: its task is gone, by this."""
        self._left_by = error
        self._end_if_left()

    def _do(self) -> Opened:
        self._made = block = self._make()
        self._end_if_left()
        return block

    def _end_if_left(self) -> None:
        """End a block whose task was cancelled before it had it, whoever comes last."""
        block, error = self._made, self._left_by
        if block is not None and error is not None:
            block.post(functools.partial(block.end_block, error))


async def begin(block: Block) -> None:
    """Begin a block as `with` does; its report is left to a thread."""
    import asyncio

    try:
        await done_by(block.post, block.begin_block)
    except asyncio.CancelledError as error:
        # Nobody will end what never came to its body.
        block.post(functools.partial(block.end_block, error))
        raise
    block.enter_block()


async def end(block: Block, error: BaseException | None) -> None:
    """End a block as `with` does; its report outlives a task that is cancelled."""
    if block.leave_block():
        await done_by(block.post, functools.partial(block.end_block, error))


class OffLoop(Generic[Opened]):
    """A block for `async with`.

    Args:
        block: The block as it is for `with`.
    """

    def __init__(self, block: Opened) -> None:
        self._block = block

    async def __aenter__(self) -> Opened:
        await begin(self._block)
        return self._block

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await end(self._block, error)


def _succeed(future: "Future[Result]", result: Result) -> None:
    if not future.done():  # else its task was cancelled
        future.set_result(result)


def _fail(future: "Future[Result]", error: BaseException) -> None:
    if future.done():
        return
    if isinstance(error, StopIteration):
        # A future cannot hold one, and its task would wait for ever. A coroutine that
        # raises StopIteration ends with the same RuntimeError.
        stopped, error = error, RuntimeError("coroutine raised StopIteration")
        error.__cause__ = stopped
    future.set_exception(error)
