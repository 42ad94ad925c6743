"""A worker of `demo.pipeline`: it knows the backend's address and a token.

It finds organs in its share of the scans, leaves one result a scan, and passes over
those that have one: what a worker before it has done is not done again.
"""

import argparse
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from trackerapi import TrackerApi

SCANS = 24
WORKERS = 2
PACE = 0.01
"""Seconds that a scan takes."""


def main(argv: Sequence[str] | None = None) -> int:
    """Work on one share; return 0 once it is done."""
    parser = argparse.ArgumentParser(description="Find organs in a share of scans.")
    parser.add_argument("share", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--crash", action="store_true", help="be killed on the way")
    options = parser.parse_args(argv)
    scans = scans_of(options.folder)[options.share :: WORKERS]
    finished = {path.stem for path in results_of(options.folder)}
    with TrackerApi() as tracker:
        # The same name after a restart: no unit counts twice.
        job = tracker.attach(part=f"worker-{options.share}")
        step = job.step("segment")
        for scan in step.track(scans, key=lambda scan: scan.stem, resume=finished):
            time.sleep(PACE)
            scan.with_suffix(".txt").write_text(f"{scan.stem}: liver, spleen")
            if options.crash and scan == scans[len(scans) // 2]:
                os.kill(os.getpid(), signal.SIGKILL)
        tracker.flush()
    return 0


def scans_of(folder: Path) -> list[Path]:
    """Return the scans of a study, in order."""
    return sorted(folder.glob("scan-*.dat"))


def results_of(folder: Path) -> list[Path]:
    """Return the organs found so far, in order."""
    return sorted(folder.glob("scan-*.txt"))


if __name__ == "__main__":
    raise SystemExit(main())
