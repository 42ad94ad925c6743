"""Delivery that keeps records in memory, for tests of job scripts."""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from trackerapi.delivery.conflation import Key, Line
from trackerapi.delivery.delivery import Delivery, DeliveryOptions
from trackerapi.delivery.report import DeliveryReport
from trackerapi.delivery.sender import Sender
from trackerapi.errors import BackendError
from trackerapi.outbox.header import Binding
from trackerapi.outbox.outbox import OutboxOptions
from trackerapi.outbox.records import job_of
from trackerapi.problems import OUTBOX_UNWRITABLE, Problems
from trackerapi.process.worker import Work
from trackerapi.testing.faults import BASE_URL, unwritable

if TYPE_CHECKING:
    from pathlib import Path

    from trackerapi.testing.fake import FakeTracker

LIMIT_BYTES = 1024**3


class Taker(Protocol):
    """What takes records: memory, or the delivery of a child process."""

    def record_event(self, line: bytes, provider_job_id: str, tag: str | None) -> None:
        """Take an event."""
        ...

    def record_newest(self, line: Line, key: Key) -> None:
        """Take an event of which only the newest counts."""
        ...

    def write_pending(self, provider_job_id: str, tag: str | None) -> None:
        """Keep what is left of the progress of a step."""
        ...

    def record_creation(
        self,
        document: Mapping[str, Any],
        state: str,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        """Take the creation of a job."""
        ...


class MemoryDelivery(Delivery):
    """Hands records to the tracker in memory of the test that runs.

    Args:
        problems: Told of what goes wrong.
        acting: Returns that tracker; None between tests.
        strict: Whether the script wants an outbox that cannot be written to raise.
    """

    def __init__(
        self,
        problems: Problems,
        acting: "Callable[[], FakeTracker | None]",
        *,
        strict: bool,
    ) -> None:
        super().__init__(*_offline(None), problems)
        self._acting, self._is_strict = acting, strict

    def record(self, line: bytes) -> None:
        """Take one record."""
        self.record_event(line, job_of(line), None)

    def record_event(self, line: bytes, provider_job_id: str, tag: str | None) -> None:
        """Take an event; see `Delivery`."""
        taker = self._taker()
        if taker is not None:
            taker.record_event(line, provider_job_id, tag)

    def post(self, work: Work) -> None:
        """Do it at once: nobody waits for memory."""
        work()

    def record_newest(self, line: Line, key: Key, *, may_wait: bool = True) -> None:  # noqa: ARG002
        """Take an event of which only the newest counts; see `Delivery`."""
        taker = self._taker()
        if taker is not None:
            taker.record_newest(line, key)

    def write_pending(self, provider_job_id: str, tag: str | None) -> None:
        """Keep what is left of the progress of a step; see `Delivery`."""
        taker = self._taker()
        if taker is not None:
            taker.write_pending(provider_job_id, tag)

    def record_creation(
        self,
        document: Mapping[str, Any],
        state: str,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        """Take the creation of a job; see `Delivery`."""
        taker = self._taker()
        if taker is not None:
            taker.record_creation(document, state, problem)

    def events_of(self, provider_job_id: str) -> list[dict[str, Any]]:
        """Return the events of a job that were recorded, in their order."""
        tracker = self._acting()
        return [] if tracker is None else tracker.store.events_of(provider_job_id)

    def note_failure(self, error: BackendError) -> None:
        """Do nothing: the tracker in memory knows how it fails."""

    def flush(self, timeout_seconds: float) -> DeliveryReport:  # noqa: ARG002
        """Return the report; nothing comes of waiting."""
        return self.report()

    def report(self) -> DeliveryReport:
        """Tell what the tracker in memory has taken."""
        tracker = self._acting()
        return DeliveryReport() if tracker is None else tracker.delivery_report()

    def close(self, spent_seconds: float = 0.0) -> None:
        """Do nothing: memory stays open."""

    def retire(self) -> None:
        """Do nothing: memory has no thread that would have to end."""

    def forget(self) -> None:
        """Do nothing: a child process asks for its own delivery."""

    def _taker(self) -> Taker | None:
        tracker = self._acting()
        if tracker is None:
            return None
        if tracker.has_fault("disk"):
            if self._is_strict:
                raise unwritable()
            message = f"{unwritable()}; events wait in memory"
            self._problems.report(OUTBOX_UNWRITABLE, message)
        return tracker.taker()


class ChildDelivery:
    """Makes the delivery of a child process, which leaves its records on disk.

    Args:
        outbox: Where it leaves them.
    """

    def __init__(self, outbox: "Path") -> None:
        self._outbox, self._pid = outbox, os.getpid()
        self._made: tuple[int, Delivery] | None = None

    def taker(self) -> Delivery | None:
        """Return the delivery of this process; None in the one of the test."""
        pid = os.getpid()
        if pid == self._pid:
            return None
        if self._made is None or self._made[0] != pid:
            self._made = (pid, Delivery(*_offline(self._outbox), Problems()))
        return self._made[1]


def _offline(
    folder: "Path | None",
) -> tuple[DeliveryOptions, Callable[[], Binding], Callable[[], Sender]]:
    """Return what makes a delivery that writes records down and sends none."""

    def sender() -> Sender:
        raise RuntimeError("tests of job scripts send nothing")

    outbox = OutboxOptions(folder=folder, limit_bytes=LIMIT_BYTES)
    options = DeliveryOptions(outbox=outbox, is_online=False)
    binding = Binding(base_url=BASE_URL, key_id=None)
    return options, lambda: binding, sender
