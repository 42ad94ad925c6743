"""Trackers of an event loop, and a gate before the disk."""

from tests.support.event_loops import (  # noqa: F401 - fixtures
    gate,
    gated,
    gated_sync,
    no_threads,
    recorder,
)
from tests.support.recorded_jobs import config, outbox  # noqa: F401 - fixtures
