"""Lists that the backend answers page by page, for `async for`."""

from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from typing import Final, TypeVar

from trackerapi.process.event_loops import run_in_thread

Item = TypeVar("Item")

_AT_ONCE: Final = 200
"""As many as one answer holds, so that each visit to a thread costs one request."""


async def paged(ask: Callable[[], Iterator[Item]]) -> AsyncIterator[Item]:
    """Iterate over what `ask` returns, which may wait for the backend.

    Args:
        ask: Begins to ask; called with the first item.
    """
    items = await run_in_thread(ask)
    while True:
        page = await run_in_thread(lambda: list(islice(items, _AT_ONCE)))
        for item in page:
            yield item
        if len(page) < _AT_ONCE:
            return
