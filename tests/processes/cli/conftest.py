"""Outboxes and proxies for tests of commands."""

from tests.support.command_fixtures import (  # noqa: F401 - fixtures
    bundle,
    clock,
    held_job,
    machine,
    proxy,
    second_machine,
)
from tests.support.odd_files import odd_file  # noqa: F401 - fixture
