"""Iteration over lists of the backend by `async for`, one page at a time."""

from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from typing import Final, TypeVar

from trackerapi.process.event_loops import run_in_thread

Item = TypeVar("Item")

_PAGE_SIZE: Final = 200
"""Number of items in one answer of the backend. Each call in a thread reads this number
of items, so the call sends at most one request."""


async def paged(ask: Callable[[], Iterator[Item]]) -> AsyncIterator[Item]:
    """Iterate over a list of the backend; threads wait for the answers.

    Args:
        ask: Function that returns the iterator of the list; called before the first
            item.
    """
    items = await run_in_thread(ask)
    while True:
        page = await run_in_thread(lambda: list(islice(items, _PAGE_SIZE)))
        for item in page:
            yield item
        if len(page) < _PAGE_SIZE:
            return
