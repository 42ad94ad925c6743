"""Large bodies of requests: limits of memory, and one thread that examines them.

Providers take turns with the thread. A large body gets status 503 while too many others
wait.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from trackerapi_backend.problems import unavailable
from trackerapi_backend.store.fair_queue import FairQueue, Load, Sharing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

T = TypeVar("T")

MAX_BODY_BYTES = 1024 * 1024

# With these limits and those of the writer's queue, a process needs at most 150 MB.
MAX_ALL_LARGE_BODIES = 64
"""Maximum number of large bodies of all providers that wait."""

MAX_LARGE_BODIES = MAX_ALL_LARGE_BODIES // 2
"""Maximum number of large bodies of one provider that wait.

The thread finishes this number within seconds, before the last client times out."""

MAX_LARGE_BYTES = 20 * MAX_BODY_BYTES
"""Maximum size of all large bodies that wait, in bytes; half for a provider."""

MAX_BYTES_IN_PLAY = MAX_BODY_BYTES
"""Size of the large bodies in play, in bytes, at which no further body is examined.

While several providers send requests, only one large body is in play: the thread and
the writer share the interpreter, and would delay the reports of others together."""

EXAMINE_SECONDS = 20.0
"""Time limit for the wait and the examination of a large body, in seconds.

While the store fails, each body in play waits for the retries of the writer. Without
the limit, the waiting bodies would wait for the retries of all bodies before them."""

MAX_READ_BYTES = 12 * MAX_BODY_BYTES
"""Maximum size of all large bodies that are read, in bytes; half for a provider."""


@dataclass(slots=True, eq=False)
class _LargeBody:
    """Large body that waits for the thread, or is in play.

    Attributes:
        examine: Function that examines the body; None once it runs, so that the body
            is not kept.
        future: Future of the result.
        is_in_play: Whether the thread has taken the body.
    """

    examine: Callable[[], Any] | None
    load: Load
    future: Future[Any] = field(default_factory=Future)
    is_in_play: bool = False


class LargeBodies:
    """Large bodies that are read, wait for one thread, or are in play.

    A body is in play from the beginning of its examination until its request has used
    the result. The thread waits while too many bodies are in play: the writer would
    have no time for more bodies, and their examination would delay the writer.
    Providers take turns.

    Safe to share between event loops.
    """

    def __init__(self) -> None:
        # Reserved memory of the bodies that are read. This queue only counts: each
        # request removes its own reservation.
        self._read: FairQueue[object] = FairQueue(MAX_ALL_LARGE_BODIES, MAX_READ_BYTES)
        self._waiting: FairQueue[_LargeBody] = FairQueue(
            MAX_ALL_LARGE_BODIES, MAX_LARGE_BYTES, max_group_items=1
        )
        self._bytes_in_play, self._sharing = 0, Sharing()
        # Protects the queues and the number of bytes in play: event loops and the
        # thread use them.
        self._lock = threading.Lock()
        # A single thread: threads share the interpreter lock. A second thread would
        # not examine more bodies per second, but would delay the event loop further.
        self._thread = ThreadPoolExecutor(1, "bodies")

    def note_request(self, provider_id: int) -> None:
        """Record a request of a provider with a body of any size."""
        self._sharing.note(provider_id)

    @contextmanager
    def reserved_memory(self, provider_id: int, size_bytes: int) -> Iterator[bool]:
        """Reserve memory for a body during the block; yield whether it is reserved."""
        reservation, load = object(), Load(provider_id, 0, size_bytes)
        with self._lock:
            is_reserved = self._read.add(reservation, load)
        try:
            yield is_reserved
        finally:
            with self._lock:
                self._read.remove(reservation, load)

    @asynccontextmanager
    async def examined(
        self, examine: Callable[[], T], provider_id: int, size_bytes: int
    ) -> AsyncIterator[T]:
        """Yield the result of `examine()`, which runs in the thread.

        Raises:
            Problem: If too many other large bodies wait, or this body has waited for
                `EXAMINE_SECONDS`.
            Exception: Any exception of `examine`.
        """
        load = Load(provider_id, events=0, size_bytes=size_bytes)
        body = _LargeBody(examine, load)
        del examine
        with self._lock:
            if not self._waiting.add(body, load):
                raise unavailable("Too many large requests wait to be examined.")
        self._thread.submit(self._examine_next)
        try:
            yield await _wait_for(body.future)
        finally:
            with self._lock:
                self._waiting.remove(body, load)
                if body.is_in_play:
                    self._bytes_in_play -= size_bytes
            self._thread.submit(self._examine_next)

    def _examine_next(self) -> None:
        """Examine the body that has the next turn, then the others."""
        with self._lock:
            limit = 1 if self._sharing.is_shared else MAX_BYTES_IN_PLAY
            if self._bytes_in_play >= limit:
                return  # The next call comes when a request has used its result.
            group = self._waiting.next_group()
            for body in group:  # At most one.
                body.is_in_play = True
                self._bytes_in_play += body.load.size_bytes
        for body in group:
            _examine(body)
            self._thread.submit(self._examine_next)


async def _wait_for(future: Future[T]) -> T:
    """Return the result of a future; raise Problem after `EXAMINE_SECONDS`."""
    try:
        async with asyncio.timeout(EXAMINE_SECONDS):
            return await asyncio.wrap_future(future)
    except TimeoutError:
        raise unavailable("Other large requests take too long.") from None


def _examine(body: _LargeBody) -> None:
    """Examine a body, unless its request was cancelled; set the result."""
    examine, body.examine, future = body.examine, None, body.future
    if examine is None or not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(examine())
    except Exception as error:  # noqa: BLE001 -- the request gets it
        future.set_exception(error)
    finally:
        # The traceback of the exception refers to this frame, and the frame would keep
        # the body until the next garbage collection.
        del examine, future, body
