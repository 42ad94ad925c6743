"""Fixtures: a `FakeTracker`, the configuration of its job, and an outbox."""

from tests.support.fake_trackers import config, outbox, tracker  # noqa: F401 - fixtures
