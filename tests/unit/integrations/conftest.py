"""Fixtures: a job, its tracker and configuration, and an outbox to read back."""

from tests.support.recorded_jobs import (  # noqa: F401 - fixtures
    config,
    outbox,
    recorder,
    run,
)
