"""Fixtures of tests of blocks (`with` statements), and readers of recorded events."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trackerapi import JobConfig, JobConfigManager, TrackerApi, TrackerJob

STEPS = {"load": 10, "segment": 60, "report": 30}


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
    """Load a configuration of three steps with a unique tag."""
    tag = f"imaging-{uuid.uuid4()}"
    document = {
        "tag": tag,
        "name": f"Imaging {tag}",
        "step_configurations": [
            {"tag": step, "name": step.title(), "points": points}
            for step, points in STEPS.items()
        ],
    }
    return JobConfigManager(configs=[document]).get_job_config(tag)


@pytest.fixture
def run(recorder: TrackerApi, config: JobConfig) -> TrackerJob:
    """Return a job for use as a block."""
    return recorder.run_job(str(uuid.uuid4()), customer_id=142, tag=config.tag)


def recorded(outbox: Path) -> list[dict[str, Any]]:
    """Return the events in the outbox, oldest first."""
    lines = [
        json.loads(line)
        for path in sorted(outbox.glob("*.outbox"))
        for line in path.read_bytes().splitlines()
    ]
    return [line for line in lines if "kind" in line]


def kinds_and_steps(outbox: Path) -> list[str]:
    """Return kind and step tag of each event except progress."""
    return [
        f"{event['kind']} {event['tag']}" if "tag" in event else event["kind"]
        for event in recorded(outbox)
        if event["kind"] != "progress"
    ]


def progress(outbox: Path, step: str) -> list[tuple[Any, Any]]:
    """Return `completed` and `total` of each progress event of a step, oldest first."""
    return [
        (event.get("completed"), event.get("total"))
        for event in recorded(outbox)
        if event["kind"] == "progress" and event.get("tag") == step
    ]


def lines(outbox: Path) -> list[dict[str, Any]]:
    """Return step tag, message and detail of each timeline line (event `info`)."""
    return [
        {key: event[key] for key in ("tag", "message", "detail") if key in event}
        for event in recorded(outbox)
        if event["kind"] == "info"
    ]
