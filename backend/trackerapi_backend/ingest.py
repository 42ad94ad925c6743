"""The writer: every change of the store, in groups that share one commit.

Commands queue up while a commit is under way; then all that wait go into the next
transaction, each behind a savepoint of its own, so that one which fails takes no
neighbour along. A caller has its answer when the commit has reached the disk. There
are no timers: a command that finds the writer idle is committed at once.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from trackerapi_backend.problems import unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from trackerapi_backend.store import Store

T = TypeVar("T")
Outcome = tuple[object, Exception | None]

QUEUE_CAPACITY = 1000
GROUP_CAPACITY = 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Request:
    command: Callable[[Connection], Any]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]


class Writer:
    """Runs commands one after another in a thread of its own.

    Args:
        store: Where to write; nobody else begins transactions on it meanwhile.
        capacity: Commands that may wait; more are refused.
    """

    def __init__(self, store: Store, capacity: int = QUEUE_CAPACITY) -> None:
        self._store = store
        self._queue: queue.Queue[_Request | None] = queue.Queue(capacity)
        self._thread = threading.Thread(target=self._run, name="writer")
        self._thread.start()

    async def write(self, command: Callable[[Connection], T]) -> T:
        """Return what `command` returns, once its changes are on the disk.

        Raises:
            Problem: If too many commands wait already.
            Exception: Whatever `command` raises; then nothing of it is kept.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        try:
            self._queue.put_nowait(_Request(command, loop, answer))
        except queue.Full:
            raise unavailable("Too many requests wait to be stored.") from None
        return await answer

    def close(self) -> None:
        """Carry out what waits, then stop."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group, is_last = self._group(first)
            _answer(group, self._carry_out(group))
            if is_last:
                return

    def _group(self, first: _Request) -> tuple[list[_Request], bool]:
        """Return `first` with all that waits, and whether to stop after them."""
        group = [first]
        while len(group) < GROUP_CAPACITY:
            try:
                request = self._queue.get_nowait()
            except queue.Empty:
                break
            if request is None:
                return group, True
            group.append(request)
        return group, False

    def _carry_out(self, group: Sequence[_Request]) -> list[Outcome]:
        try:
            with self._store.transaction() as db:
                return [_attempt(db, request.command) for request in group]
        except Exception as error:  # noqa: BLE001 -- told to every caller
            _log.exception("a commit failed; nothing of its group is stored")
            return [(None, error)] * len(group)


def _attempt(db: Connection, command: Callable[[Connection], object]) -> Outcome:
    try:
        with db.begin_nested():
            return command(db), None
    except Exception as error:  # noqa: BLE001 -- it is the caller's to handle
        return None, error


def _answer(group: Sequence[_Request], outcomes: Sequence[Outcome]) -> None:
    """Wake the callers, each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Request, Outcome]]] = {}
    for request, outcome in zip(group, outcomes, strict=True):
        by_loop.setdefault(request.loop, []).append((request, outcome))
    for loop, answered in by_loop.items():
        loop.call_soon_threadsafe(_settle, answered)


def _settle(answered: Sequence[tuple[_Request, Outcome]]) -> None:
    for request, (result, error) in answered:
        if request.answer.done():  # the caller went away
            continue
        if error is not None:
            request.answer.set_exception(error)
        else:
            request.answer.set_result(result)
