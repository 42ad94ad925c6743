"""Fixtures of jobs with records that a test reads back."""

from tests.support.recorded_jobs import (  # noqa: F401 - fixtures
    config,
    outbox,
    recorder,
    run,
)
