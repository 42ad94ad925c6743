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


class RecordTarget(Protocol):
    """Target of records: memory, or the delivery of a child process."""

    def record_event(self, line: bytes, provider_job_id: str, tag: str | None) -> None:
        """Record an event."""
        ...

    def record_newest(self, line: Line, key: Key) -> None:
        """Record an event that replaces the pending event with the same key."""
        ...

    def write_pending(self, provider_job_id: str, tag: str | None) -> None:
        """Record the pending progress of a step."""
        ...

    def record_creation(
        self,
        document: Mapping[str, Any],
        state: str,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        """Record the creation of a job."""
        ...


class MemoryDelivery(Delivery):
    """Delivery that records into the tracker of the running test.

    Args:
        problems: Log of problems.
        current_tracker: Function that returns the tracker of the running test; None
            between tests.
        strict: Whether an outbox that cannot be written raises.
    """

    def __init__(
        self,
        problems: Problems,
        current_tracker: "Callable[[], FakeTracker | None]",
        *,
        strict: bool,
    ) -> None:
        super().__init__(*_offline(None), problems)
        self._current_tracker, self._is_strict = current_tracker, strict

    def record(self, line: bytes) -> None:
        """Record an event, given as a line in the format of the outbox."""
        self.record_event(line, job_of(line), None)

    def record_event(self, line: bytes, provider_job_id: str, tag: str | None) -> None:
        """Record an event; see `Delivery`."""
        target = self._record_target()
        if target is not None:
            target.record_event(line, provider_job_id, tag)

    def post(self, work: Work) -> None:
        """Do the work in the calling thread: recording in memory does not block."""
        work()

    def record_newest(self, line: Line, key: Key, *, may_wait: bool = True) -> None:  # noqa: ARG002
        """Record an event that replaces the pending event with the same key."""
        target = self._record_target()
        if target is not None:
            target.record_newest(line, key)

    def write_pending(self, provider_job_id: str, tag: str | None) -> None:
        """Record the pending progress of a step; see `Delivery`."""
        target = self._record_target()
        if target is not None:
            target.write_pending(provider_job_id, tag)

    def record_creation(
        self,
        document: Mapping[str, Any],
        state: str,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        """Record the creation of a job; see `Delivery`."""
        target = self._record_target()
        if target is not None:
            target.record_creation(document, state, problem)

    def events_of(self, provider_job_id: str) -> list[dict[str, Any]]:
        """Return the recorded events of a job, in the order in which they happened."""
        tracker = self._current_tracker()
        return [] if tracker is None else tracker.store.events_of(provider_job_id)

    def note_failure(self, error: BackendError) -> None:
        """Ignore the error: the test itself has switched the fault on."""

    def flush(self, timeout_seconds: float) -> DeliveryReport:  # noqa: ARG002
        """Return the report without waiting: a test sends nothing."""
        return self.report()

    def report(self) -> DeliveryReport:
        """Return the report of the tracker in memory."""
        tracker = self._current_tracker()
        return DeliveryReport() if tracker is None else tracker.delivery_report()

    def close(self, spent_seconds: float = 0.0) -> None:
        """Do nothing: memory has no file or connection to close."""

    def retire(self) -> None:
        """Do nothing: memory has no thread to end."""

    def forget(self) -> None:
        """Do nothing: a child process gets its own delivery."""

    def _record_target(self) -> RecordTarget | None:
        tracker = self._current_tracker()
        if tracker is None:
            return None
        if tracker.has_fault("disk"):
            if self._is_strict:
                raise unwritable()
            message = f"{unwritable()}; events wait in memory"
            self._problems.report(OUTBOX_UNWRITABLE, message)
        return tracker.record_target()


class ChildDelivery:
    """Delivery of a forked process, which writes its records into files.

    Args:
        outbox: Folder of the files.
    """

    def __init__(self, outbox: "Path") -> None:
        self._outbox, self._pid = outbox, os.getpid()
        self._made: tuple[int, Delivery] | None = None

    def delivery(self) -> Delivery | None:
        """Return the delivery of this process; None in the process of the test."""
        pid = os.getpid()
        if pid == self._pid:
            return None
        if self._made is None or self._made[0] != pid:
            self._made = (pid, Delivery(*_offline(self._outbox), Problems()))
        return self._made[1]


def _offline(
    folder: "Path | None",
) -> tuple[DeliveryOptions, Callable[[], Binding], Callable[[], Sender]]:
    """Return the arguments of a delivery that writes records and sends none."""

    def sender() -> Sender:
        raise RuntimeError("tests of job scripts send nothing")

    outbox = OutboxOptions(folder=folder, limit_bytes=LIMIT_BYTES)
    options = DeliveryOptions(outbox=outbox, is_online=False)
    binding = Binding(base_url=BASE_URL, key_id=None)
    return options, lambda: binding, sender
