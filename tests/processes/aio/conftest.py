"""Fixtures: trackers for event loops, and a gate that delays their events."""

from tests.support.event_loops import (  # noqa: F401 - fixtures
    gate,
    gated,
    gated_sync,
    no_threads,
    recorder,
)
from tests.support.recorded_jobs import config, outbox  # noqa: F401 - fixtures
