"""Writer: the thread that makes all changes of the store, in groups with one commit.

Commands queue up during a commit, and the next transaction runs a group of them: see
`fair_queue`. Each command has its own savepoint: a failed command is rolled back alone.
For a frequent change, a caller queues an item instead of a command: one function call
makes the changes of all items in the group. A caller gets its result once the commit
has reached the disk. No timer collects commands: an idle writer runs and commits a
command immediately.

An engine may roll back a whole transaction when one statement fails, as SQLite does on
a full disk. So the writer asks the driver after each command whether the transaction
is still open. If the transaction has ended, the writer runs each command alone.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
from sqlalchemy.exc import DBAPIError, IntegrityError

from trackerapi_backend.measurements import Histogram
from trackerapi_backend.problems import unavailable
from trackerapi_backend.store import StoreError
from trackerapi_backend.store.changes import take_changes
from trackerapi_backend.store.driver_sql import savepoint
from trackerapi_backend.store.fair_queue import MAX_ITEMS, FairQueue, Load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from trackerapi_backend.store import Store
    from trackerapi_backend.store.changes import Changes

T = TypeVar("T")
Item = TypeVar("Item")
Outcome = tuple[object, Exception | None]
"""Result and exception of a command; the result counts if the exception is None."""

RETRY_AFTER_SECONDS = 5
RETRY_SECONDS = 20.0
"""Time for repeating a group while the database server restarts, in seconds."""
RETRY_PAUSE_SECONDS = 0.25
SINGLE_RUNS_SECONDS = 1.0
"""Time limit for running the commands of a failed group one by one, in seconds."""
LOG_INTERVAL_SECONDS = 60.0
"""Minimum interval between two log lines about a failing store, in seconds."""

_OWN_LOAD = Load()

_log = logging.getLogger(__name__)


class Backlog(NamedTuple):
    """Commands that are not stored yet.

    Attributes:
        waiting_count: Number of commands in the queue.
        oldest_seconds: Age of the oldest command in the queue or in progress, in
            seconds; 0 without a command.
    """

    waiting_count: int
    oldest_seconds: float


class _QueuedCommand(msgspec.Struct, frozen=True):
    """Command or item with the future of its caller, on the event loop of the caller.

    Attributes:
        run: Command; if `is_item`, the function that writes several items.
        item: Item for `run`.
    """

    run: Callable[..., Any]
    item: object
    is_item: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    queued_at: float = msgspec.field(default_factory=time.monotonic)


class Writer:
    """Thread that runs commands one after another.

    Commands do not overlap, not even those of several processes. So a command may read
    a row and then write depending on the row. Jobs are an exception: items of another
    process may change a job between the read and the write.

    Args:
        store: Store to write to. Only the writer may begin transactions on it.
        capacity: Maximum number of queued commands; further commands are rejected.

    Attributes:
        commit_seconds: Durations of the successful commits, in seconds.
        committed_count: Number of commands in committed groups, including rejected
            commands.
        failed_count: Number of groups that could not be stored with one commit.
    """

    def __init__(self, store: Store, capacity: int = MAX_ITEMS) -> None:
        self._store = store
        self._queue: FairQueue[_QueuedCommand] = FairQueue(capacity)
        # Protects the queue and the closing flag: event loops and the thread use both.
        self._changed = threading.Condition()
        self._is_closing, self._next_log_at = False, 0.0
        self._group: Sequence[_QueuedCommand] = ()
        self.commit_seconds, self.committed_count, self.failed_count = Histogram(), 0, 0
        self._follow: Callable[[Changes], object] = _ignore
        # A daemon thread, because a command that does not end must not block the exit
        # of the process.
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    @property
    def max_item_events(self) -> int:
        """Number of events that one item should have at most, at this moment."""
        return self._queue.max_group_events

    def backlog(self) -> Backlog:
        """Return the number of waiting commands, and the age of the oldest command."""
        with self._changed:
            oldest = [
                each.queued_at for each in (*self._queue.first_items(), *self._group)
            ]
            age = time.monotonic() - min(oldest) if oldest else 0.0
            return Backlog(len(self._queue), age)

    async def write(
        self, command: Callable[[Connection], T], load: Load = _OWN_LOAD
    ) -> T:
        """Run a command in the writer; return its result once the changes are on disk.

        The writer may run `command` several times. It rolls back the changes of all
        runs but the last.

        Args:
            command: Function that makes the changes.
            load: Provider and size of the request; providers take turns.

        Raises:
            Problem: If the queue is full, the store cannot be written, or the server
                shuts down.
            Exception: Any exception of `command`, whose changes are rolled back.
        """
        result: T = await self._queue_up(command, None, load, is_item=False)
        return result

    async def write_together(
        self,
        write_all: Callable[[Connection, Sequence[Item]], Sequence[T]],
        item: Item,
        load: Load = _OWN_LOAD,
    ) -> T:
        """Write an item together with other items; return its result as `write()` does.

        The writer may call `write_all` several times, like a command of `write()`.

        Args:
            write_all: Function that writes items and returns a result for each. One
                call may get the items of several requests. The function must keep the
                rules of a shared transaction, see `Store.transaction()`.
            item: Item to write.
            load: Provider and size of the request; providers take turns.

        Raises:
            Problem: If the queue is full, the store cannot be written, or the server
                shuts down.
            Exception: Any exception of `write_all`, whose changes are rolled back.
        """
        result: T = await self._queue_up(write_all, item, load, is_item=True)
        return result

    async def _queue_up(
        self, run: Callable[..., Any], item: object, load: Load, *, is_item: bool
    ) -> Any:
        loop = asyncio.get_running_loop()
        queued = _QueuedCommand(run, item, is_item, loop, loop.create_future())
        # Acquiring the condition does not block the event loop: the thread releases
        # the condition before it runs a command.
        with self._changed:
            if self._is_closing:
                raise _stopping_error()
            if not self._queue.add(queued, load):
                raise unavailable("Too many requests wait to be stored.")
            self._changed.notify()
        return await queued.future

    def follow(
        self, loop: asyncio.AbstractEventLoop, apply: Callable[[Changes], object]
    ) -> None:
        """Call `apply` on an event loop after each commit with noted changes.

        `apply` runs before a caller on the same loop gets the result of its command. A
        second call of `follow()` replaces the first.

        Args:
            loop: Event loop of the server.
            apply: Function that gets the changes; see `changes_of()`.
        """

        def follow(changes: Changes) -> None:
            # A closed loop raises RuntimeError, and has no caller and no viewer left.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(apply, changes)

        self._follow = follow

    def close(self, timeout_seconds: float | None = None) -> None:
        """Run the queued commands, then stop the thread.

        Args:
            timeout_seconds: Time limit, in seconds; None waits for all commands. At
                the limit, queued commands are rejected and a running command is
                abandoned.
        """
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(timeout_seconds)
        with self._changed:
            rejected = self._queue.clear()
        _deliver(rejected, [(None, _stopping_error())] * len(rejected))
        if self._thread.is_alive():
            _log.warning(
                "a command is still running at the end of the server:"
                " its changes are neither stored nor acknowledged"
            )

    def _run(self) -> None:
        while group := self._next_group():
            self._group = group
            try:
                outcomes = self._run_with_retries(group)
                _log.debug("%d commands are stored with one commit", len(group))
            except Exception as error:  # noqa: BLE001 -- every caller gets it
                self.failed_count += 1
                if isinstance(error, StoreError) and error.is_transient:
                    # Reject the queued commands too: each further group would only
                    # repeat the retries until the same time limit.
                    with self._changed:
                        group += self._queue.clear()
                outcomes = self._run_after_failure(group, error)
            self._group = ()
            _deliver(group, outcomes)

    def _next_group(self) -> list[_QueuedCommand]:
        """Wait for commands; return an empty group once the writer is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_closing)
            return self._queue.next_group()

    def _run_after_failure(
        self, group: Sequence[_QueuedCommand], error: Exception
    ) -> list[Outcome]:
        """Return the outcomes of commands whose common transaction has failed."""
        if len(group) == 1 or _concerns_all(error):
            return [(None, self._error_for_caller(error)) for _ in group]
        return self._run_one_by_one(group, error)

    def _run_one_by_one(
        self, group: Sequence[_QueuedCommand], error: Exception
    ) -> list[Outcome]:
        """Run each command of a failed group in a transaction of its own.

        After the time limit the remaining commands get the error of the group: on a
        failing disk each transaction may take long.
        """
        until = time.monotonic() + SINGLE_RUNS_SECONDS
        return [
            self._run_alone(command)
            if time.monotonic() < until
            else (None, self._error_for_caller(error))
            for command in group
        ]

    def _run_alone(self, command: _QueuedCommand) -> Outcome:
        try:
            [outcome] = self._run_in_one_transaction([command])
        except Exception as error:  # noqa: BLE001 -- the caller gets it
            return None, self._error_for_caller(error)
        return outcome

    def _run_with_retries(self, group: Sequence[_QueuedCommand]) -> list[Outcome]:
        """Run commands in one transaction; repeat it after a transient failure."""
        until = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                return self._run_in_one_transaction(group)
            except StoreError as error:
                if not error.is_transient or time.monotonic() >= until:
                    raise
            with self._changed:
                if self._changed.wait_for(
                    lambda: self._is_closing, RETRY_PAUSE_SECONDS
                ):
                    stopping = "the server stops"
                    raise StoreError(stopping, cause=stopping, is_transient=True)

    def _run_in_one_transaction(self, group: Sequence[_QueuedCommand]) -> list[Outcome]:
        """Run commands in one transaction; return only after its commit."""
        outcomes: dict[int, Outcome] = {}
        commands, items = _split(group)
        changes: Changes | None = None
        with self._store.transaction(shared=not commands) as db:
            for index in commands:
                outcomes[index] = _run_in_savepoint(db, group[index].run)
                self._require_transaction(db)
            for write_all, indexes in items.items():
                results = write_all(db, [group[index].item for index in indexes])
                self._require_transaction(db)
                for index, result in zip(indexes, results, strict=True):
                    outcomes[index] = result, None
            if commands:
                changes = take_changes(db)
            commit_began = time.perf_counter()
        self.commit_seconds.add(time.perf_counter() - commit_began)
        self.committed_count += len(group)
        if changes is not None:
            self._follow(changes)
        return [outcomes[index] for index in range(len(group))]

    def _require_transaction(self, db: Connection) -> None:
        """Raise StoreError if the engine has ended the transaction itself.

        Without this check, the commands before a rollback by the engine would be lost,
        and the commands after the rollback would be committed one by one.
        """
        if not self._store.is_in_transaction(db):
            raise StoreError("the engine has rolled the transaction back")

    def _error_for_caller(self, error: Exception) -> Exception:
        """Return the error for the caller of a failed command; log a failing store."""
        if not isinstance(error, StoreError):
            return error
        if time.monotonic() >= self._next_log_at:
            self._next_log_at = time.monotonic() + LOG_INTERVAL_SECONDS
            _log.error("requests are rejected with status 503: %s", error)
        return unavailable(
            f"The backend cannot store anything now ({error.cause or error}).",
            RETRY_AFTER_SECONDS,
        )


def _split(
    group: Sequence[_QueuedCommand],
) -> tuple[list[int], dict[Callable[..., Any], list[int]]]:
    """Return the indexes of the commands in a group, and of its items by function."""
    commands: list[int] = []
    items: dict[Callable[..., Any], list[int]] = {}
    for index, queued in enumerate(group):
        (items.setdefault(queued.run, []) if queued.is_item else commands).append(index)
    return commands, items


def _concerns_all(error: Exception) -> bool:
    """Return whether a failure of a group is the outcome of each of its commands.

    If the group may be stored, its commands must not run again: they could create a
    second customer or key.
    """
    return isinstance(error, StoreError) and (error.is_transient or error.may_be_stored)


def _run_in_savepoint(db: Connection, run: Callable[[Connection], object]) -> Outcome:
    """Run one command; roll back its changes if it raises.

    Raises:
        DBAPIError: If the engine has failed; then the transaction must not commit.
    """
    try:
        with savepoint(db, "command"):
            return run(db), None
    except Exception as error:
        # Only this command has violated the constraint. Any other error of the engine
        # leaves the transaction in an unknown state.
        if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError):
            raise
        return None, error


def _ignore(_changes: Changes) -> None:
    """Ignore the changes, until a server calls `follow()`."""


def _stopping_error() -> Exception:
    return unavailable("The backend is stopping.")


def _deliver(group: Sequence[_QueuedCommand], outcomes: Sequence[Outcome]) -> None:
    """Pass outcomes to the callers; wake each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_QueuedCommand, Outcome]]] = {}
    for command, outcome in zip(group, outcomes, strict=True):
        by_loop.setdefault(command.loop, []).append((command, outcome))
    for loop, delivered in by_loop.items():
        # Only the loop of a future may set its result: futures are not thread-safe. A
        # closed loop raises RuntimeError; its futures have no waiting caller.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_set_results, delivered)


def _set_results(delivered: Sequence[tuple[_QueuedCommand, Outcome]]) -> None:
    for command, (result, error) in delivered:
        # The future is done if its caller was cancelled, for example because the
        # client has disconnected.
        if command.future.done():
            continue
        if error is not None:
            command.future.set_exception(error)
        else:
            command.future.set_result(result)
