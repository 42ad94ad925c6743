"""The tracker in memory: reports of other processes."""

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

from trackerapi import (
    JobConfig,
    TrackerApi,
)
from trackerapi.testing import FakeTracker


def _load(number: int) -> None:
    TrackerApi().job("S1", tag="imaging").note(f"part {number}")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_pools_report_into_the_job(
    tracker: FakeTracker, config: JobConfig, method: str
) -> None:
    """The tracker in memory records notes of forked and of spawned workers."""
    TrackerApi().create_job("S1", 142, "imaging").send_event(kind="start")
    with multiprocessing.get_context(method).Pool(2) as pool:
        pool.map(_load, range(6))
        pool.close()
        pool.join()

    job = tracker.job("S1")
    assert sorted(job.customer_view().texts) == [f"part {n}" for n in range(6)]
    assert job.status == "running"


def test_started_script_is_recorded(tracker: FakeTracker, outbox: Path) -> None:
    """The tracker in memory records the events of a subprocess."""
    script = (
        "from trackerapi import TrackerApi\n"
        "with TrackerApi('key', 'https://tracker.example.org') as tracker:\n"
        "    with tracker.run_job('S1', 142, 'imaging') as job:\n"
        "        job.note('Reading your images')\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)

    assert tracker.job("S1").finished
    assert tracker.job("S1").customer_view().texts == ["Reading your images"]
    assert list(outbox.glob("*.outbox"))
