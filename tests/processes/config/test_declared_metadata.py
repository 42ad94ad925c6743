"""Metadata keys that steps declare, and other keys."""

import dataclasses
import math
import uuid
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.backend_jobs import deliver, stored
from tests.support.outbox_folders import folder_content
from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import KEY, NOWHERE
from trackerapi import (
    Event,
    JobConfig,
    JobConfigManager,
    TrackerApi,
)

CANARY: Final = "canary-of-a-patient"


@pytest.fixture
def declaring() -> JobConfig:
    """Load a configuration that keeps declared metadata only."""
    tag = f"declaring-{uuid.uuid4()}"
    score = {"name": "Score", "kind": "number", "audience": "customer"}
    steps = [
        {"tag": "one", "name": "One", "points": 1, "metadata_configurations": [score]},
        {"tag": "two", "name": "Two", "points": 1},
    ]
    document = {
        "tag": tag,
        "name": f"Declaring {tag}",
        "metadata": "declared",
        "step_configurations": steps,
    }
    return JobConfigManager(configs=[document]).get_job_config(tag)


def test_undeclared_metadata_never_reaches_the_disk(
    declaring: JobConfig, outbox: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Undeclared metadata is left out of the outbox, with a warning."""
    with TrackerApi(KEY, NOWHERE, mode="offline", outbox=outbox) as tracker:
        job = tracker.create_job(
            "declaring", 142, declaring.tag, metadata={"Job canary": CANARY}
        )
        for step in ("one", "two", "of nobody", None):
            job.send_event(
                kind="info",
                name=step,
                metadata={"Score": 7, "Patient canary": CANARY, "canary": object()},
            )
        again = tracker.job("declaring", tag=declaring.name)
        again.send_event(kind="info", name="Two", metadata={"Score": CANARY})

    assert b"canary" not in folder_content(outbox)
    assert folder_content(outbox).count(b'"Score":7') == 1
    assert CANARY not in caplog.text
    warnings = [m for m in caplog.messages if "declared" in m or "declare" in m]
    assert any("'one'" in m and "Patient canary" in m for m in warnings)
    assert any("metadata of job 'declaring' was left out" in m for m in warnings)


def test_undeclared_metadata_is_warned_about_once_a_step(
    declaring: JobConfig, outbox: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten events with an undeclared key log one warning for their step."""
    with TrackerApi(KEY, NOWHERE, mode="offline", outbox=outbox) as tracker:
        job = tracker.create_job("declaring", 142, declaring.tag)
        for number in range(10):
            job.send_event(kind="info", name="one", metadata={"Patient": number})

    assert len(caplog.messages) == 1
    assert "Patient" in caplog.text


def test_declared_metadata_arrives_with_its_marks(
    backend: RunningBackend, declaring: JobConfig
) -> None:
    """A declared NaN is stored as null, and its key is marked as changed."""
    with TrackerApi(backend.api_key, backend.base_url) as tracker:
        job = tracker.create_job(str(uuid.uuid4()), 142, declaring.tag)
        job.send_event(kind="step", name="one", metadata={"Score": 7})
        job.send_event(kind="step", name="one", metadata={"Score": math.nan})
        deliver(tracker)

        first, second = stored(tracker, job)
    assert first.event_metadata == {"Score": 7}
    assert second.event_metadata == {"Score": None, "trackerapi_changed": ["Score"]}


def test_filter_cannot_add_undeclared_metadata(
    declaring: JobConfig, outbox: Path
) -> None:
    """An undeclared key that `before_send` adds is left out."""

    def add(event: Event) -> Event:
        metadata = {**(event.metadata or {}), "Patient": CANARY}
        return dataclasses.replace(event, metadata=metadata)

    options: dict[str, Any] = {"mode": "offline", "outbox": outbox, "before_send": add}
    with TrackerApi(KEY, NOWHERE, **options) as tracker:
        job = tracker.create_job("declaring", 142, declaring.tag)
        job.send_event(kind="step", name="one", metadata={"Score": 7})

    assert b'"Score":7' in folder_content(outbox)
    assert CANARY.encode() not in folder_content(outbox)
