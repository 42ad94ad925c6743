"""Fixtures of view tests: a job whose snapshot can be read."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from trackerapi import JobConfig, JobConfigManager, TrackerApi, TrackerJob


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    """Return the path of an outbox folder that does not exist yet."""
    return tmp_path / "outbox"


@pytest.fixture
def recorder(outbox: Path) -> Iterator[TrackerApi]:
    """Return a tracker that records and sends nothing."""
    with TrackerApi("key", "http://127.0.0.1:9", mode="offline", outbox=outbox) as made:
        yield made


@pytest.fixture
def config() -> JobConfig:
    """Load a configuration of three steps."""
    steps = {"load": 10, "segment": 60, "report": 30}
    document = {
        "tag": "imaging",
        "name": "Imaging",
        "step_configurations": [
            {"tag": tag, "name": tag.title(), "points": points, "units": f"{tag}s"}
            for tag, points in steps.items()
        ],
    }
    return JobConfigManager(configs=[document]).get_job_config("imaging")


@pytest.fixture
def job(recorder: TrackerApi, config: JobConfig) -> TrackerJob:
    """Return a new job of three steps."""
    return recorder.run_job(str(uuid.uuid4()), customer_id=142, tag=config.tag)
