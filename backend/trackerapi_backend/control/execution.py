"""Execution of one command in a thread of the server: its output and its changes."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from trackerapi_backend.control.messages import encode
from trackerapi_backend.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from sqlalchemy import Connection

    from trackerapi_backend.store.writer import Writer

T = TypeVar("T")

CHANGE_SECONDS = 60.0
"""Time limit of a change, including its wait for the writer, in seconds."""
SEND_SECONDS = 30.0
"""Time limit for a program that does not read its output, in seconds."""
_CHUNK_CHARACTERS = 32 * 1024


@dataclass(slots=True)
class _Progress:
    """Number of changes of a command that the writer has begun, and has stored."""

    begun: int = 0
    stored: int = 0

    def __str__(self) -> str:
        if self.begun > self.stored:
            return "it is not known whether the change is stored, so look it up"
        if self.stored:
            return "the command has not ended, and only its first changes are stored"
        return "the command has not ended, and no change is stored"


class Execution:
    """Output and changes of a command.

    One thread runs the command and calls the methods. Any thread may call `stop()`.

    Args:
        writer: Writer of the server.
        loop: Event loop of the server.
        send: Function that sends bytes to the program of the command.
    """

    def __init__(
        self,
        writer: Writer,
        loop: asyncio.AbstractEventLoop,
        send: Callable[[bytes], Coroutine[Any, Any, None]],
    ) -> None:
        self._writer, self._loop, self._send = writer, loop, send
        self._lines: list[str] = []
        self._size = 0
        # Protects the three attributes below: `stop()` is called by another thread.
        self._lock = threading.Lock()
        self._is_stopped, self._progress = False, _Progress()
        self._change: Future[Any] | None = None

    def print_line(self, line: str) -> None:
        """Queue a line to print; send the queued lines if they fill a message.

        Raises:
            OSError: If the program has ended or does not read its output.
        """
        self._lines.append(line)
        self._size += len(line)
        if self._size > _CHUNK_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Send the queued lines and wait for the end; raise like `print_line()`."""
        lines, self._lines, self._size = self._lines, [], 0
        if lines:
            sending = self._send(encode({"lines": lines}))
            asyncio.run_coroutine_threadsafe(sending, self._loop).result(SEND_SECONDS)

    def change(self, work: Callable[[Connection], T]) -> T:
        """Run a change in the writer; block until its transaction is on the disk.

        Raises:
            StoreError: If the server stops, or the writer is busy for
                `CHANGE_SECONDS`; the message says whether the change is stored.
            Problem: If the writer rejects the change.
            Exception: Any exception of `work`, whose changes are rolled back.
        """
        number = self._progress.stored + 1

        def begin(db: Connection) -> T:
            with self._lock:
                if self._is_stopped:
                    raise StoreError("the command was given up")
                # Set, not incremented: the writer may run a change several times.
                self._progress.begun = number
            return work(db)

        with self._lock:
            if self._is_stopped:
                raise StoreError(f"the server stops: {self._progress}")
            self._change = asyncio.run_coroutine_threadsafe(
                self._writer.write(begin), self._loop
            )
        try:
            result: T = self._change.result(CHANGE_SECONDS)
        except TimeoutError:
            raise StoreError(f"the server is busy: {self.stop()}") from None
        except CancelledError:
            raise StoreError(f"the server stops: {self.stop()}") from None
        except BaseException:
            # The writer has rolled the change back.
            self._progress.begun = self._progress.stored
            raise
        self._progress.stored = number
        return result

    def wait_for(self, working: Awaitable[T]) -> T:
        """Run an awaitable in the event loop; wait for its result without a time limit.

        Raises:
            StoreError: If the server stops.
            Exception: Any exception of the awaitable.
        """

        async def work() -> T:
            return await working

        number = self._progress.stored + 1
        with self._lock:
            if self._is_stopped:
                raise StoreError(f"the server stops: {self._progress}")
            self._progress.begun = number
            future = asyncio.run_coroutine_threadsafe(work(), self._loop)
            self._change = future
        try:
            result = future.result()
        except CancelledError:
            raise StoreError(f"the server stops: {self.stop()}") from None
        self._progress.stored = number
        return result

    def stop(self) -> str:
        """Begin no more changes; return a sentence about the stored changes."""
        with self._lock:
            self._is_stopped = True
            if self._change is not None:
                self._change.cancel()
            return f"{self._progress}"
