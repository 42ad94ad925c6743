"""Paths of the work tree and of the peers' environments; numbers of cores."""

import os
import sys
from pathlib import Path
from typing import Final

from benchmarks.rig.adapter import PROJECT, Adapter

ROOT: Final = Path(__file__).resolve().parents[2]
PEERS_FOLDER: Final = Path(os.environ.get("PEERS") or ROOT / "benchmarks/.peers")


def interpreter(adapter: type[Adapter]) -> Path:
    """Return the Python in which a library is installed."""
    if adapter.environment == PROJECT:
        return Path(sys.executable)
    return PEERS_FOLDER.absolute() / adapter.environment / "bin" / "python"


def worker_cpu() -> int:
    """Return the core that a measured process has to itself."""
    return min(os.sched_getaffinity(0))


def sink_cpu() -> int:
    """Return the core of the answering process; the same core if there is only one."""
    return max(os.sched_getaffinity(0))
