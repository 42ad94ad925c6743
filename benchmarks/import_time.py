"""What `from trackerapi import TrackerApi` costs beside `import httpx`.

Each import runs in a fresh interpreter, in turns, so that a drifting machine slows
both alike; the time of a bare interpreter is taken off.

Exit status: 0 within the target, 1 above it.
"""

import statistics
import subprocess
import sys
import time

ROUNDS = 15
TARGET = 0.2
STATEMENTS = {
    "bare": "pass",
    "httpx": "import httpx",
    "trackerapi": "import trackerapi",
    "TrackerApi": "from trackerapi import TrackerApi",
}


def main() -> int:
    """Measure, print a table, compare with the target."""
    seconds: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(ROUNDS + 1):
        for name, statement in STATEMENTS.items():
            seconds[name].append(_time_of(statement))
    # The first round fills the caches of the file system.
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    cost = {name: median - medians["bare"] for name, median in medians.items()}
    for name in ("httpx", "trackerapi", "TrackerApi"):
        milliseconds, ratio = cost[name] * 1000, cost[name] / cost["httpx"]
        print(f"{STATEMENTS[name]:<36} {milliseconds:7.1f} ms {ratio:6.3f} x httpx")
    return 0 if cost["TrackerApi"] <= TARGET * cost["httpx"] else 1


def _time_of(statement: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - begin


if __name__ == "__main__":
    raise SystemExit(main())
