"""Pipes, devices and a valid file for tests of file readers."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.project import ROOT

EXAMPLE = ROOT / "demo/job_configurations.json"


REFUSED = "not a regular file|a pipe with nothing to read"


@pytest.fixture(params=["pipe", "device"])
def odd_file(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Return a pipe without a writer, or a device that never ends."""
    path = tmp_path / "odd"
    if request.param == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    return path
