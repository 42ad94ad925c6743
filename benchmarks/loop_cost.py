"""Time that `job.track()` adds to a loop of a million items, compared with tqdm.

Both run in one process, in turns. tqdm draws its bar into /dev/null. `job.track()`
records to the disk; nothing is delivered.

Exit status: 0 the target is met, 1 the target is missed.
"""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from tqdm import tqdm

from benchmarks.rig.runs import (
    median_of,
    note,
    ratio_of,
    read_options,
    temporary_folder,
)
from benchmarks.rig.tables import Target, conclude, figure, print_table
from trackerapi import TrackerApi

ROUNDS: Final = 9
ITEMS: Final = 1_000_000
BOUND: Final = 2.0
OURS: Final = "job.track"
TQDM: Final = "tqdm"
BARE: Final = "bare loop"


def main() -> int:
    """Measure, print a table, compare with the target."""
    options = read_options(__doc__, rounds=ROUNDS)
    with temporary_folder() as folder, Path(os.devnull).open("w") as nowhere:
        tracker = TrackerApi(
            "key", "http://127.0.0.1:9", mode="offline", outbox=folder / "outbox"
        )
        job = tracker.job("loop")
        loops: dict[str, Callable[[], Iterable[int]]] = {
            BARE: lambda: range(ITEMS),
            TQDM: lambda: tqdm(range(ITEMS), file=nowhere),
            OURS: lambda: job.track(range(ITEMS), step="load"),
        }
        seconds: dict[str, list[float]] = {name: [] for name in loops}
        for turn in range(options.rounds + 1):
            note(f"loop_cost: round {turn} of {options.rounds}")
            for name, loop in loops.items():
                taken = _time_of(loop())
                if turn:
                    seconds[name].append(taken)
        tracker.close()

    def beyond(name: str) -> list[float]:
        return [a - b for a, b in zip(seconds[name], seconds[BARE], strict=True)]

    beside = ratio_of(beyond(OURS), beyond(TQDM))
    what = "cost of `job.track` beyond the bare loop, beside tqdm's"
    status = conclude([Target(what=what, bound=BOUND, measured=beside)])
    rows = [
        (
            name,
            f"{1e9 / ITEMS * (median_of(seconds[name]) or 0):.0f}",
            figure(ratio_of(seconds[name], seconds[TQDM]), "x"),
        )
        for name in loops
    ]
    print_table(("loop of 1,000,000", "ns an item", "beside tqdm"), rows)
    return status


def _time_of(items: Iterable[int]) -> float:
    begin = time.perf_counter()
    for _ in items:
        pass
    return time.perf_counter() - begin


if __name__ == "__main__":
    raise SystemExit(main())
