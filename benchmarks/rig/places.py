"""Paths of the work tree and of the peers' environments; numbers of cores."""

import os
import sys
from pathlib import Path
from typing import Final

from benchmarks.rig.adapter import PROJECT, Adapter

ROOT: Final = Path(__file__).resolve().parents[2]
PEERS_FOLDER: Final = Path(os.environ.get("PEERS") or ROOT / "benchmarks/.peers")


def interpreter(adapter: type[Adapter]) -> Path:
    """Return the interpreter in whose environment the library is installed."""
    if adapter.environment == PROJECT:
        return Path(sys.executable)
    return PEERS_FOLDER.absolute() / adapter.environment / "bin" / "python"


def worker_cpu() -> int:
    """Return the core to which a measured process is pinned."""
    return min(os.sched_getaffinity(0))


def sink_cpu() -> int:
    """Return the core of the sink; the core of the worker if there is only one core."""
    return max(os.sched_getaffinity(0))
