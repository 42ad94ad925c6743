"""In-memory replacements for the parts of a TrackerApi, such as delivery.

`recording()` installs them.
"""

import os
import tempfile
import weakref
from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from trackerapi.composition import PARTS_FACTORY, Connector, TrackerParts, make_parts
from trackerapi.jobs.reporter import BeforeSend, Reporter
from trackerapi.problems import Problems
from trackerapi.settings.api_key import API_KEY, API_KEY_FILE
from trackerapi.settings.route import BASE_URL, CA_FILE
from trackerapi.settings.settings import MODE, OUTBOX, STRICT, Settings
from trackerapi.testing import faults
from trackerapi.testing.fake import FakeTracker
from trackerapi.testing.memory_calls import TEST_KEY, MemoryCalls, refuse
from trackerapi.testing.memory_delivery import MemoryDelivery

if TYPE_CHECKING:
    from trackerapi.wire.client import BackendClient
    from trackerapi.wire.connection import Connection

_IGNORED: Final = {"api_key_file", "ca_file", "proxy", "outbox"}
"""Arguments of TrackerApi that a test ignores: files and the proxy may not exist."""


class MemoryConnection:
    """Stand-in for the connections of a TrackerApi: answers requests from memory.

    Attributes:
        read_calls: Operations of read calls.
        reporting_calls: Operations of reports; the same object as `read_calls`.
        watch_calls: Operations of watches; the same object as `read_calls`.
    """

    def __init__(self, calls: MemoryCalls) -> None:
        self.read_calls = self.reporting_calls = self.watch_calls = calls

    @property
    def client(self) -> "BackendClient":
        """Raise NotImplementedError: the generated client needs a backend."""
        refuse("client")


class MemoryConnector(Connector):
    """Connects a TrackerApi with the tracker in memory."""

    def __init__(self, settings: Settings, connection: MemoryConnection) -> None:
        super().__init__(settings)
        self._memory = connection

    def connection(self) -> "Connection":
        """Return the connections in memory."""
        return cast("Connection", self._memory)


class MemoryParts:
    """Factory of TrackerApi parts in memory; replaces the usual factory if installed.

    A TrackerApi reports to the tracker of the running test, so that a TrackerApi at
    module level can serve many tests.

    Attributes:
        current_tracker: Tracker of the running test; None between tests.
    """

    def __init__(self) -> None:
        self.current_tracker: FakeTracker | None = None
        self._install_count = 0
        self._calls = MemoryCalls(lambda: self.current_tracker)
        self._strict: weakref.WeakKeyDictionary[Reporter, bool] = (
            weakref.WeakKeyDictionary()
        )

    def install(self) -> None:
        """Replace the parts of each TrackerApi that is created after this call."""
        self._install_count += 1
        PARTS_FACTORY.make = self._make_parts

    def uninstall(self) -> None:
        """Undo one `install()`; the last call restores the parts of production."""
        self._install_count -= 1
        if not self._install_count:
            PARTS_FACTORY.make = make_parts

    def update_reporters(self) -> None:
        """Apply the strictness and the jobs of the current tracker to all reporters."""
        tracker = self.current_tracker
        for reporter, is_strict in list(self._strict.items()):
            reporter.strict = self._strictness(is_strict=is_strict)
            if tracker is not None:
                reporter.job_states = tracker.store.job_states

    def _make_parts(
        self,
        arguments: Mapping[str, object],
        problems: Problems,
        before_send: BeforeSend | None,
    ) -> TrackerParts:
        settings = _settings(arguments)
        delivery: MemoryDelivery | None = None
        connector: Connector | None = None
        if settings.mode != "off":
            delivery = MemoryDelivery(
                problems, lambda: self.current_tracker, strict=settings.strict
            )
            connector = MemoryConnector(settings, MemoryConnection(self._calls))
        reporter = Reporter(
            delivery, problems, strict=settings.strict, before_send=before_send
        )
        self._strict[reporter] = settings.strict
        self.update_reporters()
        return TrackerParts(
            settings=settings, reporter=reporter, delivery=delivery, connector=connector
        )

    def _strictness(self, *, is_strict: bool) -> bool:
        tracker = self.current_tracker
        return is_strict or (tracker is not None and tracker.raises_usage_errors)


MEMORY_PARTS: Final = MemoryParts()
"""The only MemoryParts of this process; the plugin and `recording()` share it."""


@contextmanager
def recording(outbox: Path | None = None) -> Generator[FakeTracker]:
    """Record the reports of jobs in memory, for a test without pytest.

    Args:
        outbox: Outbox of the child processes that the test starts. The first of them
            creates the folder. None for a temporary folder.

    Example:
        with recording() as tracker:
            pipeline(study="S1", customer=142)
        assert tracker.job("S1").finished
    """
    with (
        tempfile.TemporaryDirectory()
        if outbox is None
        else nullcontext(outbox) as folder
    ):
        before = MEMORY_PARTS.current_tracker
        tracker = FakeTracker(Path(folder), MEMORY_PARTS.update_reporters)
        MEMORY_PARTS.install()
        MEMORY_PARTS.current_tracker = tracker
        MEMORY_PARTS.update_reporters()
        try:
            with _environment(Path(folder)):
                yield tracker
        finally:
            MEMORY_PARTS.current_tracker = before
            MEMORY_PARTS.update_reporters()
            MEMORY_PARTS.uninstall()


@contextmanager
def _environment(outbox: Path) -> Generator[None]:
    """Set variables that make child processes record offline into `outbox`."""
    given = {
        BASE_URL: faults.BASE_URL,
        API_KEY: TEST_KEY,
        API_KEY_FILE: None,
        CA_FILE: None,
        MODE: "offline",
        OUTBOX: str(outbox),
    }
    before = {name: os.environ.get(name) for name in given}
    _set(given)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _settings(arguments: Mapping[str, object]) -> Settings:
    """Return the settings of a script, with the address and the key of the test."""
    given = {name: v for name, v in arguments.items() if name not in _IGNORED}
    given |= {"base_url": faults.BASE_URL, "api_key": TEST_KEY}
    strict = os.environ.get(STRICT)
    return Settings.resolve(given, {STRICT: strict} if strict is not None else {})
