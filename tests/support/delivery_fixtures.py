"""What tests of delivery start from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.memory_backend import MemoryBackend
from tests.support.reporting_process import ReportingProcess


@pytest.fixture
def memory() -> Iterator[MemoryBackend]:
    """Return a backend that knows the job `job`; it has to be treated by the rules."""
    made = MemoryBackend("job")
    yield made
    assert not made.violations


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the place of an outbox that nobody has made yet."""
    return tmp_path / "outbox"


@pytest.fixture
def process(folder: Path, memory: MemoryBackend) -> Iterator[ReportingProcess]:
    """Return a process that reports into `folder`."""
    made = ReportingProcess(folder, memory)
    yield made
    made.die()
