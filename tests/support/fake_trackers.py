"""Fixtures of `FakeTracker` tests: outbox, tracker, configuration."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from trackerapi import JobConfig, JobConfigManager
from trackerapi.testing import FakeTracker, recording


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    """Return the folder for reports of other processes."""
    return tmp_path / "outbox"


@pytest.fixture
def tracker(outbox: Path) -> Iterator[FakeTracker]:
    """Return a `FakeTracker`; all trackers of the test report to it."""
    with recording(outbox) as made:
        yield made


@pytest.fixture
def config() -> JobConfig:
    """Load the configuration of a job of two steps."""
    document = {
        "tag": "imaging",
        "name": "Imaging study",
        "step_configurations": [
            {
                "tag": "load",
                "name": "Read images",
                "points": 25,
                "metadata_configurations": [
                    {"name": "Images", "kind": "number", "audience": "customer"},
                    {"name": "Scanner", "kind": "text", "audience": "provider"},
                ],
            },
            {"tag": "report", "name": "Write report", "points": 75},
        ],
    }
    return JobConfigManager(configs=[document]).get_job_config("imaging")
