"""Fixtures of fault tests: a proxy to the backend, disks, and a run without faults."""

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fault_proxy import FaultProxy
from tests.support.proof_runs import EVENTS, Lab, Pictures, pictures_of
from tests.support.running_backend import RunningBackend


@pytest.fixture
def proxy(backend: RunningBackend) -> Iterator[FaultProxy]:
    """Run a proxy in front of the session's backend."""
    with FaultProxy(backend.base_url) as running:
        yield running


@pytest.fixture
def lab(backend: RunningBackend, proxy: FaultProxy, tmp_path: Path) -> Lab:
    """Return the settings, folder and proxy of a job that has not run yet."""
    return Lab(backend, proxy, tmp_path, f"fault-{uuid.uuid4()}")


@pytest.fixture(scope="session")
def undisturbed(
    backend: RunningBackend, tmp_path_factory: pytest.TempPathFactory
) -> Pictures:
    """Run the job once without a fault; return the jobs as the backend shows them."""
    with FaultProxy(backend.base_url) as proxy:
        folder = tmp_path_factory.mktemp("undisturbed")
        lab = Lab(backend, proxy, folder, f"undisturbed-{uuid.uuid4()}")
        with lab.start("--flush", "30") as job:
            job.run_through()
        lab.assert_nothing_lost_or_doubled()
        with lab.direct_tracker() as tracker:
            pictures = pictures_of(tracker, lab.job_id)
    assert sum(len(picture["events"]) for picture in pictures.values()) == EVENTS
    assert pictures["ended"]["percent"] == 100.0
    assert pictures["open"]["percent"] == 46.67
    return pictures


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 256 KiB; return its folder."""
    yield from _mount(tmp_path / "disk", "size=256k")


def _mount(folder: Path, options: str) -> Iterator[Path]:
    """Mount a tmpfs at `folder` for one test; skip the test if mounting fails."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "trackerapi-test", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        # CI may skip, too: other tests limit file sizes and use unusable paths instead.
        pytest.skip("this user cannot mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a read-only disk; return its folder."""
    yield from _mount(tmp_path / "disk", "ro")
