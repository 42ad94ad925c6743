"""What tests of the layer by hand start from."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunningBackend
from trackerapi import JobConfig, JobConfigManager, TrackerApi, TrackerJob
from trackerapi.config.job_config import forget_loaded
from trackerapi.delivery import delivery

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the settings and proxies of whoever runs the tests, and their outbox."""
    for name in os.environ:
        if name.startswith("TRACKERAPI_") or name.upper() in PROXY_VARIABLES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # A busy machine may take its time over the delivery at an end, and over letting
    # go of files, which the next tracker of the same process looks for.
    monkeypatch.setenv("TRACKERAPI_SHUTDOWN_TIMEOUT", "30")
    monkeypatch.setattr(delivery, "_LAST_WORDS_SECONDS", 30.0)


@pytest.fixture(autouse=True)
def no_loaded_configurations() -> None:
    """Forget the configurations that the test before has loaded."""
    forget_loaded()


@pytest.fixture
def tracker(backend: RunningBackend) -> Iterator[TrackerApi]:
    """Return a tracker for the real backend."""
    with TrackerApi(backend.api_key, backend.base_url) as made:
        yield made


@pytest.fixture
def config() -> JobConfig:
    """Load a configuration of three steps under a tag of its own."""
    tag = f"greeting-{uuid.uuid4()}"
    steps = [("say_hello", 10), ("random_number", 15), ("say_bye", 10)]
    document = {
        "tag": tag,
        "name": f"Say hello to everybody {tag}",
        "step_configurations": [
            {"tag": step, "name": step.replace("_", " ").title(), "points": points}
            for step, points in steps
        ],
    }
    return JobConfigManager(configs=[document]).get_job_config(tag)


@pytest.fixture
def job(tracker: TrackerApi, config: JobConfig) -> TrackerJob:
    """Return a new job of customer 142."""
    return tracker.create_job(str(uuid.uuid4()), customer_id=142, tag=config.tag)


def deliver(tracker: TrackerApi) -> None:
    """Wait until the backend has all that was reported."""
    report = tracker.flush(timeout=30)
    assert report.waiting == 0, report
