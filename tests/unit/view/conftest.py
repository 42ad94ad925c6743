"""A job that views can show."""

from tests.support.viewed_jobs import (  # noqa: F401 - fixtures
    config,
    job,
    outbox,
    recorder,
)
