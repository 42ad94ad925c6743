"""Threads of the library in the test process."""

import threading
from collections.abc import Iterable

from tests.support.scripts import PATIENCE_SECONDS
from trackerapi.delivery.passes import LEFTOVER_SEARCH_SECONDS


def library_threads() -> set[threading.Thread]:
    """Return the living threads of the library in this process."""
    # Threads that are just starting have no ident and cannot be joined yet.
    begun = {thread for thread in threading.enumerate() if thread.ident is not None}
    return {thread for thread in begun if thread.name.startswith("trackerapi-")}


def await_end(threads: Iterable[threading.Thread]) -> None:
    """Wait until all threads have ended."""
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), f"{thread.name} still runs"


def await_end_soon(threads: Iterable[threading.Thread]) -> None:
    """Wait until all threads have ended, for half a pause of a delivery loop each."""
    for thread in threads:
        thread.join(LEFTOVER_SEARCH_SECONDS / 2)
        assert not thread.is_alive(), f"{thread.name} still runs"
