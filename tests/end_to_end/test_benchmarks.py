"""Benchmarks: end at SIGTERM."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from scripts.project import ROOT

MAX_WAIT_SECONDS = 90.0


@pytest.mark.parametrize("benchmark", ["engine", "memory"])
def test_stopped_benchmark_leaves_no_child_process(benchmark: str) -> None:
    """SIGTERM ends a benchmark, its servers, its sinks and its workers."""
    mark = uuid4().hex
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks", benchmark, "--quick", "--peers", ""],
        cwd=ROOT,
        env={**os.environ, "MARK": mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline()  # The measurement has begun.
        process.send_signal(signal.SIGTERM)
        status = process.wait(MAX_WAIT_SECONDS)
    assert status == 128 + signal.SIGTERM
    assert not [each for each in Path("/proc").glob("[0-9]*") if has_mark(each, mark)]


def has_mark(process: Path, mark: str) -> bool:
    """Return whether a running process has inherited a variable."""
    try:
        return mark.encode() in (process / "environ").read_bytes()
    except OSError:  # It has ended, or belongs to another user.
        return False
