"""The pipeline in three places: attempts, failed items, a killed worker, a rerun."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from demo.backend import DemoBackend, started_backend
from scripts.project import ROOT
from tests.support.documents import PATIENCE_SECONDS, PATIENT
from trackerapi import Job, TrackerApi

# What a run before it has done is not reported again, so that attempts differ.
SEEN = ("tag", "status", "fraction", "completed", "total")


@pytest.fixture
def backend(tmp_path: Path) -> object:
    """A backend of this test's own."""
    with started_backend(tmp_path) as own:
        yield own


def pipeline(backend: DemoBackend, home: Path, *arguments: str, status: int = 0) -> str:
    """Run the pipeline; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "demo.pipeline", *arguments],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            **PATIENT,
            "TRACKERAPI_BASE_URL": backend.base_url,
            "TRACKERAPI_API_KEY": backend.api_key,
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def study(backend: DemoBackend, study_id: str) -> Job:
    """Return what the backend knows of a study."""
    with TrackerApi(backend.api_key, backend.base_url) as tracker:
        return tracker.get_job(study_id)


def looks(job: Job) -> list[tuple[object, ...]]:
    """Return what the steps of a job look like."""
    return [tuple(getattr(step, name) for name in SEEN) for step in job.steps]


def test_killed_worker_and_crashed_gateway_leave_no_trace(
    backend: DemoBackend, tmp_path: Path
) -> None:
    """After a crash of each place, the study looks like an undisturbed one."""
    plain = ["--id", "plain", "--folder", str(tmp_path / "plain")]
    rough = ["--id", "rough", "--folder", str(tmp_path / "rough"), "--crash"]

    pipeline(backend, tmp_path, *plain)
    pipeline(backend, tmp_path, *rough, "--crash-after", "convert", status=70)
    printed = pipeline(backend, tmp_path, *rough)

    undisturbed, disturbed = study(backend, "plain"), study(backend, "rough")
    assert (disturbed.status, disturbed.percent) == ("succeeded", 100.0)
    assert looks(disturbed) == looks(undisturbed)
    assert re.findall(r"^(\w+): done", printed, re.M)[0] == "correct_motion"
    segment = disturbed.steps[5]
    assert (segment.tag, segment.completed, segment.total) == ("segment", 22, 22)
    assert segment.attempts == 2


def test_customer_reads_of_images_that_were_left_out(
    backend: DemoBackend, tmp_path: Path
) -> None:
    """Failed items are counted for the customer; their names are not told."""
    pipeline(backend, tmp_path, "--id", "plain", "--folder", str(tmp_path / "plain"))

    with TrackerApi(backend.api_key, backend.base_url) as tracker:
        texts = [event.message for event in tracker.job("plain").events()]
    assert texts.count("A blurred image was left out.") == 2
    assert "2 of 24 could not be processed." in texts
    assert not [text for text in texts if text and "scan-" in text]
