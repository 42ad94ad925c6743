"""Adapters of error monitoring and product analytics, which queue in the process."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

from benchmarks.rig.adapter import META, Adapter


class SentryMessage(Adapter):
    """A message of Sentry, with the metadata in a context of a new scope."""

    name, environment, imports = "sentry-message", "sentry", "import sentry_sdk"
    options: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, url: str) -> None:
        self._sdk: Any = import_module("sentry_sdk")
        self._sdk.init(dsn=url.replace("//", "//k@") + "/1", **self.options)

    def emit(self, marker: str) -> None:
        """Capture the message."""
        with self._sdk.new_scope() as scope:
            scope.set_context("event", {"id": marker, **META})
            self._sdk.capture_message("progress")

    def flush(self, seconds: float) -> None:
        """Wait until the queue is empty."""
        self._sdk.flush(timeout=seconds)


class SentryMessageBig(SentryMessage):
    """`SentryMessage` with a queue for all events."""

    name, options = "sentry-message-big", {"transport_queue_size": 100_000}


class SentryCheckin(SentryMessage):
    """A check-in of a monitored job; it has no metadata, so the event is smaller."""

    name = "sentry-checkin"

    def emit(self, marker: str) -> None:
        """Capture the check-in."""
        self._sdk.crons.capture_checkin(
            monitor_slug="job", check_in_id=marker, status="in_progress"
        )


class SentryLog(SentryMessage):
    """Structured logs of Sentry, which are sent in batches."""

    name, options = "sentry-log", {"enable_logs": True}

    def emit(self, marker: str) -> None:
        """Log the event."""
        self._sdk.logger.info("progress", attributes={"id": marker, **META})


class Posthog(Adapter):
    """A captured event of PostHog with properties."""

    name, environment, imports = "posthog", "posthog", "import posthog"
    options: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, url: str) -> None:
        make = import_module("posthog").Posthog
        self._client = make("key", host=url, **self.options)

    def emit(self, marker: str) -> None:
        """Capture the event."""
        properties = {"id": marker, **META}
        self._client.capture("progress", distinct_id="job", properties=properties)

    def flush(self, seconds: float) -> None:
        """Wait until the queue is empty."""
        self._client.flush(timeout_seconds=seconds)

    def close(self) -> None:
        """Shut the client down."""
        self._client.shutdown()


class PosthogBig(Posthog):
    """`Posthog` with a queue for all events."""

    name, options = "posthog-big", {"max_queue_size": 100_000}


class Segment(Adapter):
    """A tracked event of Segment with properties."""

    name, environment, imports = "segment", "segment", "import segment.analytics"
    options: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, url: str) -> None:
        make = import_module("segment.analytics.client").Client
        self._client = make("key", host=url, **self.options)

    def emit(self, marker: str) -> None:
        """Track the event."""
        self._client.track("job", "progress", {"id": marker, **META})

    def flush(self, seconds: float) -> None:  # noqa: ARG002 - no time limit
        """Wait until the queue is empty."""
        self._client.flush()

    def close(self) -> None:
        """End the thread."""
        self._client.join()


class SegmentBig(Segment):
    """`Segment` with a queue for all events."""

    name, options = "segment-big", {"max_queue_size": 100_000}
