"""A query of the backend that waits, so that a test can act while it runs."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from backend.tests.support.service import MAX_WAIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trackerapi_backend.requests.call import Services


@contextmanager
def held_read(services: Services) -> Iterator[list[Any]]:
    """Hold the first read of the block until its end; yield the list of the reads."""
    reads: list[Any] = []
    read, may_end = services.store.read, threading.Event()

    def read_or_wait(query: Callable[[Any], Any]) -> Any:
        reads.append(query)
        if len(reads) == 1:
            assert may_end.wait(MAX_WAIT_SECONDS)
        return read(query)

    with patch.object(services.store, "read", read_or_wait):
        try:
            yield reads
        finally:
            may_end.set()
