"""What tests of an event loop start from: trackers, a gate before the disk, a clock."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from trackerapi import AsyncTrackerApi, Event, TrackerApi

PATIENCE_SECONDS: Final = 120.0
"""Longest wait for what has to come."""

NOWHERE: Final = "http://127.0.0.1:9"


@pytest.fixture
def recorder(outbox: Path) -> AsyncTrackerApi:
    """Return a tracker that records and sends nothing."""
    return AsyncTrackerApi("key", NOWHERE, mode="offline", outbox=outbox)


class Gate:
    """A disk that takes a record only when the event loop lets it.

    Attributes:
        arrived: Set as soon as a record waits.
        is_stuck: Whether a record has waited in vain: the loop was blocked by it.
    """

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.is_stuck = False
        self._is_open, self._permits = True, 0
        self._changed = threading.Condition()

    def before_send(self, event: Event) -> Event:
        """Hold an event up until it may pass."""
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
        """Hold up the next event."""
        with self._changed:
            self._is_open, self._permits = False, 0
            self.arrived.clear()

    def pass_one(self) -> None:
        """Let the event pass that has arrived."""
        with self._changed:
            self.arrived.clear()
            self._permits += 1
            self._changed.notify()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Return a gate that is open at first, and at last."""
    made = Gate()
    yield made
    made.open()


@pytest.fixture
def gated(outbox: Path, gate: Gate) -> AsyncTrackerApi:
    """Return a tracker whose records pass a gate."""
    return AsyncTrackerApi(
        "key", NOWHERE, mode="offline", outbox=outbox, before_send=gate.before_send
    )


@pytest.fixture
def gated_sync(outbox: Path, gate: Gate) -> TrackerApi:
    """Return a tracker without an event loop whose records pass the same gate."""
    return TrackerApi(
        "key", NOWHERE, mode="offline", outbox=outbox, before_send=gate.before_send
    )


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Return what takes the last thread away that the user may start."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        yield lambda: patch.setattr(threading.Thread, "start", refuse)
