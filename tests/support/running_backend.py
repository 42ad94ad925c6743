"""Real backend for the whole test session."""

import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class RunningBackend:
    """Running backend; the attributes are the members of its `dev.json`."""

    base_url: str
    api_key: str
    api_key_file: str
    customer_id: int


@pytest.fixture(scope="session")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBackend]:
    """Run a real backend for the test session."""
    folder: Path = tmp_path_factory.mktemp("backend")
    with dev_backend(folder):
        description = json.loads((folder / "dev.json").read_text())
        yield RunningBackend(**description)


@contextmanager
def dev_backend(folder: Path, port: int = 0) -> Generator["subprocess.Popen[bytes]"]:
    """Run `trackerapi-backend dev` with its data in a folder; port 0: any free one."""
    command = [sys.executable, "-m", "trackerapi_backend", "dev"]
    with subprocess.Popen(
        [*command, "--port", str(port), "--data-dir", str(folder)],
        stdout=subprocess.PIPE,
    ) as process:
        try:
            # The backend prints its address as soon as it serves.
            assert process.stdout is not None
            assert process.stdout.readline(), "the backend did not start"
            yield process
        finally:
            process.terminate()


@contextmanager
def serve_backend(variables: dict[str, str]) -> Generator[str]:
    """Run `trackerapi-backend serve` with `variables`; yield the address."""
    with subprocess.Popen(
        [sys.executable, "-m", "trackerapi_backend", "serve", "--port", "0"],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()
