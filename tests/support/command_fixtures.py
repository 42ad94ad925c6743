"""Fixtures of command tests: outboxes, clock, proxy, bundle, held job."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fault_proxy import FaultProxy
from tests.support.leftovers import UNKNOWN_CUSTOMER, Machine
from tests.support.running_backend import RunningBackend
from trackerapi.cli import sync
from trackerapi.cli.exit_statuses import HELD
from trackerapi.cli.outbox import retry_loop


class SkippingClock:
    """Clock for commands in this process: pauses end at once and advance the clock.

    Attributes:
        late_seconds: Delay with which each pause ends, in seconds.
    """

    def __init__(self) -> None:
        self.late_seconds = self._skipped_seconds = 0.0

    def monotonic(self) -> float:
        """Return the monotonic time plus the skipped pauses, in seconds."""
        return time.monotonic() + self._skipped_seconds

    def sleep(self, seconds: float) -> None:
        """Advance the clock without waiting."""
        self._skipped_seconds += seconds + self.late_seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SkippingClock:
    """Replace the clock of commands in this process."""
    made = SkippingClock()
    for module in (retry_loop, sync):
        monkeypatch.setattr(module, "time", made)
    defaults = retry_loop.RetryLoop.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "pause", made.sleep)
    return made


@pytest.fixture
def machine(backend: RunningBackend, tmp_path: Path) -> Machine:
    """Return an empty outbox with the settings of the backend."""
    return Machine(backend, tmp_path / "outbox")


@pytest.fixture
def second_machine(backend: RunningBackend, tmp_path: Path) -> Machine:
    """Return the outbox of a second machine, which can reach the backend."""
    return Machine(backend, tmp_path / "second_machine")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return the path of a bundle that does not exist yet."""
    return tmp_path / "reports.bundle"


@pytest.fixture
def proxy(backend: RunningBackend) -> Iterator[FaultProxy]:
    """Run a proxy in front of the backend."""
    with FaultProxy(backend.base_url) as running:
        yield running


@pytest.fixture
def held_job(machine: Machine) -> str:
    """Return the id of a job that the backend has rejected, with three held events."""
    job_id = machine.leave(customer_id=UNKNOWN_CUSTOMER)
    assert machine.run("sync").status == HELD
    return job_id
