"""Fixtures: a tracker in memory, its configuration and an outbox folder."""

from tests.support.fake_trackers import config, outbox, tracker  # noqa: F401 - fixtures
