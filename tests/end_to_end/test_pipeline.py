"""Pipeline of the demo on three hosts: attempts, failed items, killed worker, rerun."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from demo.backend import DemoBackend, start_backend
from scripts.project import ROOT
from tests.support.documents import PATIENCE_SECONDS, PATIENT
from trackerapi import Job, TrackerApi

# `attempts` is not compared: a rerun does not report finished steps again.
COMPARED = ("tag", "status", "fraction", "completed", "total")


@pytest.fixture
def backend(tmp_path: Path) -> object:
    """Run one backend for each test."""
    with start_backend(tmp_path) as own:
        yield own


def run_pipeline(
    backend: DemoBackend, home: Path, *arguments: str, status: int = 0
) -> str:
    """Run the pipeline; return its standard output."""
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


def fetch_study(backend: DemoBackend, study_id: str) -> Job:
    """Return the job of a study from the backend."""
    with TrackerApi(backend.api_key, backend.base_url) as tracker:
        return tracker.get_job(study_id)


def step_states(job: Job) -> list[tuple[object, ...]]:
    """Return the compared members of each step of a job."""
    return [tuple(getattr(step, name) for name in COMPARED) for step in job.steps]


def test_study_ends_like_another_after_crashes_of_both_hosts(
    backend: DemoBackend, tmp_path: Path
) -> None:
    """After crashes of both hosts, the steps equal those of an undisturbed study."""
    plain = ["--id", "plain", "--folder", str(tmp_path / "plain")]
    rough = ["--id", "rough", "--folder", str(tmp_path / "rough"), "--crash"]

    run_pipeline(backend, tmp_path, *plain)
    run_pipeline(backend, tmp_path, *rough, "--crash-after", "convert", status=70)
    printed = run_pipeline(backend, tmp_path, *rough)

    undisturbed, disturbed = (
        fetch_study(backend, "plain"),
        fetch_study(backend, "rough"),
    )
    assert (disturbed.status, disturbed.percent) == ("succeeded", 100.0)
    assert step_states(disturbed) == step_states(undisturbed)
    assert re.findall(r"^(\w+): done", printed, re.M)[0] == "correct_motion"
    segment = disturbed.steps[5]
    assert (segment.tag, segment.completed, segment.total) == ("segment", 22, 22)
    assert segment.attempts == 2


def test_timeline_counts_failed_images_without_their_names(
    backend: DemoBackend, tmp_path: Path
) -> None:
    """Messages for the customer count the failed items and omit the file names."""
    run_pipeline(
        backend, tmp_path, "--id", "plain", "--folder", str(tmp_path / "plain")
    )

    with TrackerApi(backend.api_key, backend.base_url) as tracker:
        texts = [event.message for event in tracker.job("plain").events()]
    assert texts.count("A blurred image was left out.") == 2
    assert "2 of 24 could not be processed." in texts
    assert not [text for text in texts if text and "scan-" in text]
