"""Fixtures: asyncio trackers, and a gate that delays the writing of events."""

from tests.support.event_loops import (  # noqa: F401 - fixtures
    gate,
    gated,
    gated_sync,
    no_threads,
    recorder,
)
from tests.support.recorded_jobs import config, outbox  # noqa: F401 - fixtures
