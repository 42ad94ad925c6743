"""Tracker, configuration and job for tests with a real backend."""

import uuid
from collections.abc import Iterator

import pytest

from tests.support.running_backend import RunningBackend
from trackerapi import JobConfig, JobConfigManager, TrackerApi, TrackerJob
from trackerapi.models import JobEvent


@pytest.fixture
def tracker(backend: RunningBackend) -> Iterator[TrackerApi]:
    """Return a tracker for the real backend."""
    with TrackerApi(backend.api_key, backend.base_url) as made:
        yield made


@pytest.fixture
def config() -> JobConfig:
    """Load a configuration of three steps with a unique tag."""
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
    """Wait until the backend has all records of the tracker."""
    report = tracker.flush(timeout=30)
    assert report.waiting == 0, report


def new_job(
    tracker: TrackerApi, config: JobConfig, job_id: str = "", customer_id: int = 142
) -> TrackerJob:
    """Create a job; its id is random if `job_id` is empty."""
    return tracker.create_job(job_id or str(uuid.uuid4()), customer_id, config.tag)


def stored(tracker: TrackerApi, job: TrackerJob | str) -> list[JobEvent]:
    """Return the events of a job that the backend has stored, in order of arrival."""
    job_id = job if isinstance(job, str) else job.provider_job_id
    return list(tracker.job(job_id).events())
