"""Lists of the backend, page by page, for `async for`."""

from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from typing import Final, TypeVar

from trackerapi.process.event_loops import run_in_thread

Item = TypeVar("Item")

_PAGE_SIZE: Final = 200
"""Items of one answer: each call in a thread then makes one request."""


async def paged(ask: Callable[[], Iterator[Item]]) -> AsyncIterator[Item]:
    """Iterate over a list of the backend; threads wait for its answers.

    Args:
        ask: Returns the iterator of the list; called for the first item.
    """
    items = await run_in_thread(ask)
    while True:
        page = await run_in_thread(lambda: list(islice(items, _PAGE_SIZE)))
        for item in page:
            yield item
        if len(page) < _PAGE_SIZE:
            return
