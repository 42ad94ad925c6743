"""Worker of `demo.pipeline`, with only the backend's address and a job token.

The worker finds the organs in its share of the scans, and writes one result file for
each scan. It skips scans with a result file: an earlier run has finished them.
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
"""Duration of the work on one scan, in seconds."""


def main(argv: Sequence[str] | None = None) -> int:
    """Work on one share of the scans; return 0 at its end."""
    parser = argparse.ArgumentParser(description="Find organs in a share of scans.")
    parser.add_argument("share", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--crash", action="store_true", help="end by SIGKILL in the middle"
    )
    options = parser.parse_args(argv)
    scans = scans_of(options.folder)[options.share :: WORKERS]
    finished = {path.stem for path in results_of(options.folder)}
    with TrackerApi() as tracker:
        # A restart uses the same part name, so that no unit is counted twice.
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
    """Return the files of the scans of a study, in the order of their numbers."""
    return sorted(folder.glob("scan-*.dat"))


def results_of(folder: Path) -> list[Path]:
    """Return the result files so far, in the order of the scans."""
    return sorted(folder.glob("scan-*.txt"))


if __name__ == "__main__":
    raise SystemExit(main())
