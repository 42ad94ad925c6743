"""What tests of the commands start from: outboxes of their own, before a backend."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunningBackend
from tests.faults.proxy import FaultProxy
from tests.unit.commands.leftovers import UNKNOWN_CUSTOMER, Desk
from trackerapi.commands.exits import HELD


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
