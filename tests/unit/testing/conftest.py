"""A tracker in memory with its configuration."""

from tests.support.fake_trackers import config, outbox, tracker  # noqa: F401 - fixtures
