"""Outboxes and proxies for tests of commands."""

from tests.support.command_fixtures import (  # noqa: F401 - fixtures
    bundle,
    clock,
    desk,
    held_job,
    office,
    proxy,
)
from tests.support.odd_files import odd_file  # noqa: F401 - fixture
