"""Fixtures of delivery tests: backend in memory, outbox folder, process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.memory_backend import MemoryBackend
from tests.support.reporting_process import ReportingProcess


@pytest.fixture
def memory() -> Iterator[MemoryBackend]:
    """Return a backend with the job `job`; assert that requests broke no rule."""
    made = MemoryBackend("job")
    yield made
    assert not made.violations


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the path of an outbox folder that does not exist yet."""
    return tmp_path / "outbox"


@pytest.fixture
def process(folder: Path, memory: MemoryBackend) -> Iterator[ReportingProcess]:
    """Yield a process that reports into `folder`; kill it at the end."""
    made = ReportingProcess(folder, memory)
    yield made
    made.kill()
