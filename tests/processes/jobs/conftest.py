"""A job whose records can be read back at once."""

from tests.support.recorded_jobs import (  # noqa: F401 - fixtures
    config,
    outbox,
    recorder,
    run,
)
