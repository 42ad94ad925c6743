"""Where trackers in memory act: puts them in the place of all real ones."""

import os
import tempfile
import weakref
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from trackerapi.composition import SEAM, Connector, TrackerParts, make_parts
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

_PLACES: Final = {"api_key_file", "ca_file", "proxy", "outbox"}
"""Settings that say where things are in production, and mean nothing here."""


class MemoryConnection:
    """Stands for the connections of a TrackerApi.

    Attributes:
        read_calls: Answers from memory.
        reporting_calls: The same.
    """

    def __init__(self, calls: MemoryCalls) -> None:
        self.read_calls = self.reporting_calls = calls

    @property
    def client(self) -> "BackendClient":
        """Raise: generated calls have nobody to talk to."""
        refuse("client")


class MemoryConnector(Connector):
    """Connects a TrackerApi with the tracker in memory."""

    def __init__(self, settings: Settings, connection: MemoryConnection) -> None:
        super().__init__(settings)
        self._memory = connection

    def connection(self) -> "Connection":
        """Return what stands for the connections."""
        return cast("Connection", self._memory)


class Stage:
    """Makes the parts of each TrackerApi while it is open.

    A TrackerApi that was made here reports to the tracker in memory that acts at that
    moment, so that one that a module keeps can serve many tests.

    Attributes:
        acting: The tracker of the test that runs; None between tests.
    """

    def __init__(self) -> None:
        self.acting: FakeTracker | None = None
        self._open_count = 0
        self._calls = MemoryCalls(lambda: self.acting)
        self._strict: weakref.WeakKeyDictionary[Reporter, bool] = (
            weakref.WeakKeyDictionary()
        )

    def open(self) -> None:
        """Make the parts of each TrackerApi from now on."""
        self._open_count += 1
        SEAM.make = self._make_parts

    def close(self) -> None:
        """Let them be made as ever, once for each `open()`."""
        self._open_count -= 1
        if not self._open_count:
            SEAM.make = make_parts

    def adjust(self) -> None:
        """Let all that was made be as strict as the tracker that acts wants it."""
        for reporter, is_strict in list(self._strict.items()):
            reporter.strict = self._strictness(is_strict=is_strict)

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
                problems, lambda: self.acting, strict=settings.strict
            )
            connector = MemoryConnector(settings, MemoryConnection(self._calls))
        strict = self._strictness(is_strict=settings.strict)
        reporter = Reporter(delivery, problems, strict=strict, before_send=before_send)
        self._strict[reporter] = settings.strict
        return TrackerParts(
            settings=settings, reporter=reporter, delivery=delivery, connector=connector
        )

    def _strictness(self, *, is_strict: bool) -> bool:
        return is_strict or (self.acting is not None and self.acting.raises_mistakes)


STAGE: Final = Stage()
"""The one of this process."""


@contextmanager
def recording(outbox: Path | None = None) -> Generator[FakeTracker]:
    """Keep in memory what jobs report, for a test without pytest.

    Args:
        outbox: Folder for what other processes report, made when one does; None for
            a temporary one.

    Example:
        with recording() as tracker:
            pipeline(study="S1", customer=142)
        assert tracker.job("S1").finished
    """
    with tempfile.TemporaryDirectory() if outbox is None else _given(outbox) as folder:
        before, tracker = STAGE.acting, FakeTracker(Path(folder), STAGE.adjust)
        STAGE.open()
        STAGE.acting = tracker
        STAGE.adjust()
        try:
            with _environment(Path(folder)):
                yield tracker
        finally:
            STAGE.acting = before
            STAGE.adjust()
            STAGE.close()


@contextmanager
def _given(outbox: Path) -> Generator[Path]:
    yield outbox


@contextmanager
def _environment(outbox: Path) -> Generator[None]:
    """Let processes that the test starts leave their records in a folder, unsent."""
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
    """Return the settings of a script, but for where its backend is and who asks."""
    given = {name: v for name, v in arguments.items() if name not in _PLACES}
    given |= {"base_url": faults.BASE_URL, "api_key": TEST_KEY}
    strict = os.environ.get(STRICT)
    return Settings.resolve(given, {STRICT: strict} if strict is not None else {})
