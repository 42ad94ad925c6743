"""The writer: makes every change of the store, in groups that share one commit.

Commands queue up during a commit; all queued commands go into the next transaction.
Each has a savepoint of its own, so that the failure of one command leaves the others in
place. A caller gets its answer when the commit has reached the disk. There are no
timers: an idle writer commits a command at once.

An engine may roll back a whole transaction when one statement fails, as SQLite does
when the disk is full. So the writer asks the driver after each command whether the
transaction is still open. If not, the group ends and each command is tried alone.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError

from trackerapi_backend.problems import unavailable
from trackerapi_backend.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from trackerapi_backend.store import Store

T = TypeVar("T")
Outcome = tuple[object, Exception | None]

QUEUE_CAPACITY = 1000
GROUP_CAPACITY = 64
RETRY_AFTER_SECONDS = 5
RETRY_SECONDS = 1.0
"""Time limit for trying the commands of a failed group one by one."""
COMPLAINT_SECONDS = 60.0
"""Shortest time between two log lines about a failing store."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Request:
    command: Callable[[Connection], Any]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]


class Writer:
    """Runs commands one after another in a thread of its own.

    Args:
        store: Store to write to; only the writer begins transactions on it.
        capacity: Largest number of queued commands; more are refused.
    """

    def __init__(self, store: Store, capacity: int = QUEUE_CAPACITY) -> None:
        self._store, self._capacity = store, capacity
        self._waiting: deque[_Request] = deque()
        self._changed = threading.Condition()
        self._is_closing, self._next_complaint = False, 0.0
        # A daemon: a command that does not end must not block the exit of the process.
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    async def write(self, command: Callable[[Connection], T]) -> T:
        """Run `command` in the writer; return its result once the changes are on disk.

        `command` may run twice: the changes of the first run are then rolled back.

        Raises:
            Problem: If the queue is full, the store cannot be written or the server
                ends.
            Exception: Any exception of `command`; its changes are then rolled back.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        with self._changed:
            if self._is_closing:
                raise _ending()
            if len(self._waiting) >= self._capacity:
                raise unavailable("Too many requests wait to be stored.")
            self._waiting.append(_Request(command, loop, answer))
            self._changed.notify()
        return await answer

    def close(self, patience_seconds: float | None = None) -> None:
        """Run the queued commands, then stop.

        Args:
            patience_seconds: Time limit; after it, queued commands are refused and a
                running one is abandoned. None waits for all.
        """
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(patience_seconds)
        with self._changed:
            given_up = [*self._waiting]
            self._waiting.clear()
        _answer(given_up, [(None, _ending())] * len(given_up))
        if self._thread.is_alive():
            _log.warning(
                "a command is still running at the end of the server:"
                " nothing of it is stored or acknowledged"
            )

    def _run(self) -> None:
        while group := self._next_group():
            _answer(group, self._carry_out(group))

    def _next_group(self) -> list[_Request]:
        """Wait for commands; return an empty group when the writer is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closing)
            size = min(len(self._waiting), GROUP_CAPACITY)
            return [self._waiting.popleft() for _ in range(size)]

    def _carry_out(self, group: Sequence[_Request]) -> list[Outcome]:
        try:
            return self._together(group)
        except Exception as error:  # noqa: BLE001 -- told to every caller
            if len(group) == 1:
                return [(None, self._refusal(error))]
            return self._one_by_one(group, error)

    def _one_by_one(self, group: Sequence[_Request], error: Exception) -> list[Outcome]:
        """Try each command of a group alone; refuse the rest after the time limit."""
        until = time.monotonic() + RETRY_SECONDS
        return [
            self._carry_out([request])[0]
            if time.monotonic() < until
            else (None, self._refusal(error))
            for request in group
        ]

    def _together(self, group: Sequence[_Request]) -> list[Outcome]:
        """Run commands in one transaction; return only if it was committed."""
        outcomes = []
        with self._store.transaction() as db:
            for request in group:
                outcomes.append(_attempt(db, request.command))
                if not self._store.is_in_transaction(db):
                    raise StoreError("the engine has rolled the transaction back")
        return outcomes

    def _refusal(self, error: Exception) -> Exception:
        """Return the error for the caller of a command that failed alone."""
        if not isinstance(error, StoreError):
            return error
        if time.monotonic() >= self._next_complaint:
            self._next_complaint = time.monotonic() + COMPLAINT_SECONDS
            _log.error("requests are refused with status 503: %s", error)
        return unavailable(
            f"The backend cannot store anything now ({error.cause or error}).",
            RETRY_AFTER_SECONDS,
        )


def _attempt(db: Connection, command: Callable[[Connection], object]) -> Outcome:
    """Run one command behind a savepoint.

    Raises:
        DBAPIError: If the engine failed; the transaction must not be committed then.
    """
    try:
        with db.begin_nested():
            return command(db), None
    except Exception as error:
        if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError):
            raise
        return None, error


def _ending() -> Exception:
    return unavailable("The backend is stopping.")


def _answer(group: Sequence[_Request], outcomes: Sequence[Outcome]) -> None:
    """Give the callers their results; wake each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Request, Outcome]]] = {}
    for request, outcome in zip(group, outcomes, strict=True):
        by_loop.setdefault(request.loop, []).append((request, outcome))
    for loop, answered in by_loop.items():
        with suppress(RuntimeError):  # a closed loop has no callers any more
            loop.call_soon_threadsafe(_settle, answered)


def _settle(answered: Sequence[tuple[_Request, Outcome]]) -> None:
    for request, (result, error) in answered:
        if request.answer.done():  # the caller went away
            continue
        if error is not None:
            request.answer.set_exception(error)
        else:
            request.answer.set_result(result)
