"""Fixtures: a recorded job that views show."""

from tests.support.viewed_jobs import (  # noqa: F401 - fixtures
    config,
    job,
    outbox,
    recorder,
)
