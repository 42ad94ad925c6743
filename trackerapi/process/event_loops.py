"""Work of an event loop that a thread does, because the work may block.

One thread makes all reports of a TrackerApi, in the order of the calls. A report in the
loop itself would take about 8 µs instead of 60. But a slow disk or `fsync` takes
milliseconds, a backend that is down takes seconds, the traceback of a deep recursion
some 30 ms, and the loop cannot know beforehand.
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
    """Make Python switch threads each millisecond, where an event loop may wait.

    Python switches threads every 5 ms. A thread that loads modules or formats a
    traceback would stop the event loop for as long each time.
    """
    # No lock guards the interval: a lock could be held by another thread at a fork,
    # and block the child for ever. If contexts overlap, the one that found the usual
    # interval restores it.
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

    A task that is cancelled stops waiting at once; the work is done all the same.

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
        with suppress(RuntimeError):  # the loop is closed: no task waits
            loop.call_soon_threadsafe(settle)

    post(do)
    return await future


async def run_in_thread(work: Callable[[], Result]) -> Result:
    """Have a new thread do `work`, such as a request; return the result.

    The thread is not of the loop's pool: `asyncio.run()` waits for the pool to end.
    Where no thread can be started, `work` runs here and blocks the loop.
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
    """A block that a thread makes: the request of a creation may take seconds.

    Args:
        make: Makes the block.
    """

    def __init__(self, make: Callable[[], Opened]) -> None:
        self._make = make
        self._made: Opened | None = None
        self._abandoned_by: BaseException | None = None

    async def result(self) -> Opened:
        """Have a thread make the block; return it."""
        return await run_in_thread(self._make_block)

    def abandon(self, error: BaseException) -> None:
        """End the block as soon as it is made: `error` has ended its task."""
        self._abandoned_by = error
        self._end_if_abandoned()

    def _make_block(self) -> Opened:
        self._made = block = self._make()
        self._end_if_abandoned()
        return block

    def _end_if_abandoned(self) -> None:
        """End a block that was made after its task was cancelled.

        `abandon()` and the thread both call this function. The later call of the two
        finds both values set and ends the block.
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
        block: Block that `with` accepts.
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
        # A future refuses StopIteration, so its task would wait for ever. A coroutine
        # that raises StopIteration ends with the same RuntimeError.
        stopped, error = error, RuntimeError("coroutine raised StopIteration")
        error.__cause__ = stopped
    future.set_exception(error)
