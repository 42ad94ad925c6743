"""Threads for the blocking work of an event loop.

One thread makes all reports of a TrackerApi, in the order of the calls. A report by
the thread takes about 60 µs, a report in the loop 8 µs. But a report in the loop may
block the loop: a slow disk or `fsync` takes milliseconds, the traceback of a deep
recursion 30 ms, an unreachable backend seconds.
"""

import contextvars
import functools
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from trackerapi.process.block import Block

if TYPE_CHECKING:
    from asyncio import Future

Result = TypeVar("Result")
Opened = TypeVar("Opened", bound=Block)
Work = Callable[[], object]

SHORT_INTERVAL_SECONDS: Final = 0.001


@contextmanager
def short_switch_interval() -> Generator[None]:
    """Make Python switch threads each millisecond while an event loop may wait.

    Python switches threads every 5 ms. A thread that loads modules or formats a
    traceback would stop the event loop for 5 ms at each switch.
    """
    # No lock guards the interval: at a fork, another thread could have the lock, and
    # the child would wait for ever. If contexts overlap, the context that found the
    # usual interval restores that interval.
    before = sys.getswitchinterval()
    if "asyncio" not in sys.modules or before <= SHORT_INTERVAL_SECONDS:
        yield
        return
    sys.setswitchinterval(SHORT_INTERVAL_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


async def run_posted(
    post: Callable[[Work], object], work: Callable[[], Result]
) -> Result:
    """Have another thread do `work`; return its result without blocking the loop.

    A cancelled task stops waiting immediately; the other thread still does the work.

    Args:
        post: Passes a function to the other thread.
        work: Called with the context variables of the caller; its exception is raised
            here.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()
    context = contextvars.copy_context()

    def do() -> None:
        try:
            with short_switch_interval():
                result = context.run(work)
            settle = functools.partial(_succeed, future, result)
        except BaseException as error:  # noqa: BLE001 - raised in the caller
            settle = functools.partial(_fail, future, error)
        with suppress(RuntimeError):  # the loop is closed: no task waits for the result
            loop.call_soon_threadsafe(settle)

    post(do)
    return await future


async def run_in_thread(work: Callable[[], Result]) -> Result:
    """Have a new thread do `work`, such as a request; return the result.

    The thread is outside the loop's pool: `asyncio.run()` would wait for the pool.
    If no thread can start, the caller runs `work` and blocks the loop.
    """

    def post(do: Work) -> None:
        # While the interpreter ends, `start()` would wait for a thread that never runs.
        if not sys.is_finalizing():
            # The user has reached a limit of threads, or the interpreter begins to end.
            with suppress(RuntimeError):
                name = "trackerapi-request"
                threading.Thread(target=do, name=name, daemon=True).start()
                return
        do()

    return await run_posted(post, work)


class PendingBlock(Generic[Opened]):
    """Block (`with` statement) that a thread creates: the creation may take seconds.

    Args:
        make: Function that creates and returns the block.
    """

    def __init__(self, make: Callable[[], Opened]) -> None:
        self._make = make
        self._made: Opened | None = None
        self._abandoned_by: BaseException | None = None

    async def result(self) -> Opened:
        """Have a thread create the block; return the block."""
        return await run_in_thread(self._make_block)

    def abandon(self, error: BaseException) -> None:
        """End the block as soon as it exists: `error` has ended its task."""
        self._abandoned_by = error
        self._end_if_abandoned()

    def _make_block(self) -> Opened:
        self._made = block = self._make()
        self._end_if_abandoned()
        return block

    def _end_if_abandoned(self) -> None:
        """End a block that was made after its task was cancelled.

        `abandon()` and the thread both call this function. The later of the two
        calls finds both values set and ends the block.
        """
        block, error = self._made, self._abandoned_by
        if block is not None and error is not None:
            block.post(functools.partial(block.end_block, error))


async def begin(block: Block) -> None:
    """Begin a block as `with` does; a thread makes the report."""
    import asyncio

    try:
        await run_posted(block.post, block.begin_block)
    except asyncio.CancelledError as error:
        # The body never runs, so `end()` is never called.
        block.post(functools.partial(block.end_block, error))
        raise
    block.enter_block()


async def end(block: Block, error: BaseException | None) -> None:
    """End a block as `with` does; a thread makes the report.

    The report is made even if the task is cancelled.
    """
    if block.leave_block():
        await run_posted(block.post, functools.partial(block.end_block, error))


class AsyncBlock(Generic[Opened]):
    """Async context manager of a block.

    Args:
        block: Job or step that `with` accepts.
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
    if not future.done():  # a done future belongs to a cancelled task
        future.set_result(result)


def _fail(future: "Future[Result]", error: BaseException) -> None:
    if future.done():
        return
    if isinstance(error, StopIteration):
        # A future refuses StopIteration, so its task would wait for ever. A coroutine
        # that raises StopIteration ends with the same RuntimeError.
        stopped, error = error, RuntimeError("coroutine raised StopIteration")
        error.__cause__ = stopped
    future.set_exception(error)
