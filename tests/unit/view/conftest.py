"""Fixtures: a job for views, its tracker, configuration and outbox."""

from tests.support.viewed_jobs import (  # noqa: F401 - fixtures
    config,
    job,
    outbox,
    recorder,
)
