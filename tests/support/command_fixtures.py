"""What tests of the commands start from: outboxes of their own, before a backend."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fault_proxy import FaultProxy
from tests.support.leftovers import UNKNOWN_CUSTOMER, Desk
from tests.support.running_backend import RunningBackend
from trackerapi.cli import sync
from trackerapi.cli.exit_statuses import HELD
from trackerapi.cli.outbox import retry_loop


class SkippingClock:
    """Time for commands of this process, whose pauses are over at once.

    Attributes:
        late_seconds: How much later than asked for each pause ends.
    """

    def __init__(self) -> None:
        self.late_seconds = self._skipped_seconds = 0.0

    def monotonic(self) -> float:
        """Return the time, with all pauses so far."""
        return time.monotonic() + self._skipped_seconds

    def sleep(self, seconds: float) -> None:
        """Let a time pass."""
        self._skipped_seconds += seconds + self.late_seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SkippingClock:
    """Let commands of this process pause without waiting."""
    made = SkippingClock()
    for module in (retry_loop, sync):
        monkeypatch.setattr(module, "time", made)
    defaults = retry_loop.RetryLoop.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "pause", made.sleep)
    return made


@pytest.fixture
def desk(backend: RunningBackend, tmp_path: Path) -> Desk:
    """Return an outbox of its own, with the settings of the backend."""
    return Desk(backend, tmp_path / "outbox")


@pytest.fixture
def office(backend: RunningBackend, tmp_path: Path) -> Desk:
    """Return the outbox of a machine that reaches the backend."""
    return Desk(backend, tmp_path / "office")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return the name of a bundle that nobody has written yet."""
    return tmp_path / "reports.bundle"


@pytest.fixture
def proxy(backend: RunningBackend) -> Iterator[FaultProxy]:
    """Run a proxy in front of the backend."""
    with FaultProxy(backend.base_url) as running:
        yield running


@pytest.fixture
def held_job(desk: Desk) -> str:
    """Return a job that the backend has refused, with its three events."""
    job_id = desk.leave(customer_id=UNKNOWN_CUSTOMER)
    assert desk.run("sync").status == HELD
    return job_id
