"""What tests of blocks start from: a job whose events can be read back at once."""

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
    """Return a folder for an outbox."""
    return tmp_path / "outbox"


@pytest.fixture
def recorder(outbox: Path) -> Iterator[TrackerApi]:
    """Return a tracker that records and sends nothing."""
    with TrackerApi("key", "http://127.0.0.1:9", mode="offline", outbox=outbox) as made:
        yield made


@pytest.fixture
def config() -> JobConfig:
    """Load a configuration of three steps under a tag of its own."""
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
    """Return a job to be run as a block."""
    return recorder.run_job(str(uuid.uuid4()), customer_id=142, tag=config.tag)


def recorded(outbox: Path) -> list[dict[str, Any]]:
    """Return the events in the outbox, oldest first."""
    lines = [
        json.loads(line)
        for path in sorted(outbox.glob("*.outbox"))
        for line in path.read_bytes().splitlines()
    ]
    return [line for line in lines if "kind" in line]


def story(outbox: Path) -> list[str]:
    """Return what was reported, in words: the kind and the step of each event."""
    return [
        f"{event['kind']} {event['tag']}" if "tag" in event else event["kind"]
        for event in recorded(outbox)
        if event["kind"] != "progress"
    ]


def progress(outbox: Path, step: str) -> list[tuple[Any, Any]]:
    """Return what was reported as completed of total, oldest first."""
    return [
        (event.get("completed"), event.get("total"))
        for event in recorded(outbox)
        if event["kind"] == "progress" and event.get("tag") == step
    ]


def lines(outbox: Path) -> list[dict[str, Any]]:
    """Return the lines of the timeline: who reads what, and of which step."""
    return [
        {key: event[key] for key in ("tag", "message", "detail") if key in event}
        for event in recorded(outbox)
        if event["kind"] == "info"
    ]
