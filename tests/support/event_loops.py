"""Fixtures of event loop tests: trackers, a gate before the outbox, refused threads."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.scripted_server import NOWHERE
from trackerapi import AsyncTrackerApi, Event, TrackerApi

PATIENCE_SECONDS: Final = 120.0
"""Maximum wait for an expected event, in seconds."""


@pytest.fixture
def recorder(outbox: Path) -> AsyncTrackerApi:
    """Return a tracker that records and sends nothing."""
    return AsyncTrackerApi("key", NOWHERE, mode="offline", outbox=outbox)


class Gate:
    """Gate in `before_send`: each event waits until the test lets it pass.

    Attributes:
        arrived: Set as soon as an event waits.
        is_stuck: Whether a wait has timed out: the event has blocked the event loop.
    """

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.is_stuck = False
        self._is_open, self._permits = True, 0
        self._changed = threading.Condition()

    def before_send(self, event: Event) -> Event:
        """Block until the event may pass; return the event."""
        with self._changed:
            if not self._is_open:
                self.arrived.set()
                self.is_stuck |= not self._changed.wait_for(
                    lambda: self._is_open or self._permits, PATIENCE_SECONDS
                )
                self._permits = max(self._permits - 1, 0)
        return event

    def open(self) -> None:
        """Let all events pass from now on."""
        with self._changed:
            self._is_open = True
            self._changed.notify_all()

    def shut(self) -> None:
        """Stop the next event at the gate."""
        with self._changed:
            self._is_open, self._permits = False, 0
            self.arrived.clear()

    def pass_one(self) -> None:
        """Let the waiting event pass."""
        with self._changed:
            self.arrived.clear()
            self._permits += 1
            self._changed.notify()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Return an open gate; open it again at the end of the test."""
    made = Gate()
    yield made
    made.open()


@pytest.fixture
def gated(outbox: Path, gate: Gate) -> AsyncTrackerApi:
    """Return an `AsyncTrackerApi` whose events pass the gate."""
    return AsyncTrackerApi(
        "key", NOWHERE, mode="offline", outbox=outbox, before_send=gate.before_send
    )


@pytest.fixture
def gated_sync(outbox: Path, gate: Gate) -> TrackerApi:
    """Return a `TrackerApi` whose events pass the gate."""
    return TrackerApi(
        "key", NOWHERE, mode="offline", outbox=outbox, before_send=gate.before_send
    )


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Return a function that makes each later start of a thread fail."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        yield lambda: patch.setattr(threading.Thread, "start", refuse)
