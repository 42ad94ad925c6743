"""Attempts at a step: blocks that run again after an exception."""

import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from trackerapi.arguments import (
    MAX_MESSAGE_LENGTH,
    as_number,
    check_customer_text,
    check_whole,
)

if TYPE_CHECKING:
    from trackerapi.jobs.step_work import StepWork

MAX_WAIT_SECONDS: Final = 60.0
_MAX_DOUBLINGS: Final = 1000

Kinds = type[Exception] | tuple[type[Exception], ...]


class Attempt:
    """One attempt at a step: a block for `with`, or `async with` in an event loop.

    Attributes:
        number: Number of the attempt; 1 for the first.
        is_last: Whether no further attempt is allowed; an exception of the last attempt
            propagates.
        has_failed: Whether an exception ended the block and another attempt follows.
    """

    def __init__(
        self,
        step: "StepWork",
        number: int,
        count: int,
        on: Kinds,
        customer: str | None,
    ) -> None:
        self._step, self._count, self._on = step, count, on
        self._customer = customer
        self.number = number
        self.is_last = number == count
        self.has_failed = False

    def __enter__(self) -> Self:
        self.has_failed = False
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        if error is None or not self._is_followed_after(error):
            return False
        self.has_failed = True
        self._step.attempt_failed(self._count, self._customer, error)
        return True

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        from trackerapi.process.event_loops import run_posted

        if error is None:
            return False
        return await run_posted(
            self._step.post, partial(self.__exit__, kind, error, traceback)
        )

    def _is_followed_after(self, error: BaseException) -> bool:
        if self.is_last or not isinstance(error, self._on):
            return False
        return self._step.job.ending_of(error) == "failed"


class Attempts:
    """Iterable of the attempts at a step; ends after the first successful attempt.

    Between two attempts, `for` blocks the thread, and `async for` does not block the
    event loop.

    Args:
        step: Internal half of the step handle.
        count: Maximum number of attempts, 1 or more.
        on: Type or types of the exceptions after which another attempt follows.
        wait_seconds: Delay before the second attempt, in seconds, 0 or more. The delay
            doubles with each further attempt, up to 60 seconds.
        customer: Text for the customer about each failed attempt but the last; None
            for no text.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        step: "StepWork",
        count: int,
        on: Kinds,
        wait_seconds: float,
        customer: str | None,
    ) -> None:
        self._step, self._on = step, on
        self._count = check_whole("count", count)
        self._wait_seconds = as_number("wait_seconds", wait_seconds)
        self._customer = check_customer_text(customer, MAX_MESSAGE_LENGTH)
        if self._count < 1:
            raise ValueError(f"count must be 1 or more, got {count}")
        if not 0 <= self._wait_seconds < float("inf"):
            raise ValueError(f"wait_seconds must be 0 or more, got {wait_seconds}")
        try:
            # Check `on` before the first attempt: raised in `__exit__()`, this
            # TypeError would hide the exception of the attempt.
            isinstance(None, on)
        except TypeError:
            kind = type(on).__name__
            raise TypeError(
                f"on must be an exception or a tuple of them, got {kind}"
            ) from None

    def __iter__(self) -> Iterator[Attempt]:
        for number in range(1, self._count + 1):
            attempt = self._attempt(number)
            yield attempt
            if not attempt.has_failed:
                return
            time.sleep(self._wait_after(number))
            self._step.start()

    async def __aiter__(self) -> AsyncIterator[Attempt]:
        for number in range(1, self._count + 1):
            attempt = self._attempt(number)
            yield attempt
            if not attempt.has_failed:
                return
            import asyncio

            from trackerapi.process.event_loops import run_posted

            await asyncio.sleep(self._wait_after(number))
            await run_posted(self._step.post, self._step.start)

    def _attempt(self, number: int) -> Attempt:
        return Attempt(self._step, number, self._count, self._on, self._customer)

    def _wait_after(self, number: int) -> float:
        # Bound the exponent first: 2.0**1024 raises OverflowError.
        doublings = min(number - 1, _MAX_DOUBLINGS)
        return min(self._wait_seconds * 2.0**doublings, MAX_WAIT_SECONDS)
