"""Fixtures: a backend in memory, and a process that reports to the backend."""

from tests.support.delivery_fixtures import (  # noqa: F401 - fixtures
    folder,
    memory,
    process,
)
