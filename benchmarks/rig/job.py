"""A small example job: reads, computes, prints, and exits with 7.

Usage: python -m benchmarks.rig.job LIBRARY URL, with a file `input.txt` in the folder
`BENCH_DIR`. The first line on stdout says that the work begins. At the end of its work,
the job writes the monotonic time into the file `ended`. With `BENCH_JOB_FAILS`, the job
then raises a LookupError.
"""

import os
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.rig.adapter import marker
from benchmarks.rig.adapters import ADAPTERS

STATUS: Final = 7
NUMBERS: Final = 40
PAUSE_SECONDS: Final = 0.025


def main() -> int:
    """Run the job; return 7."""
    library, url = sys.argv[1:3]
    folder = Path(os.environ["BENCH_DIR"])
    adapter = ADAPTERS[library](url)
    print("work begins", flush=True)
    total, found = 0, []
    for index, line in enumerate((folder / "input.txt").read_text().splitlines()):
        total = (total * 31 + int(line)) % 1_000_003
        time.sleep(PAUSE_SECONDS)
        adapter.emit(marker(1, index))
        found.append(f"{index}: {total}")
    # Print at the end: a signal during the work then always leaves the same output.
    print(*found, sep="\n")
    (folder / "ended").write_text(repr(time.monotonic()))
    if os.environ.get("BENCH_JOB_FAILS"):
        raise LookupError("the mistake of the job")
    print("work ends")
    return STATUS


if __name__ == "__main__":
    raise SystemExit(main())
