"""Time from the last line of a script to its end, and the events that arrived by then.

The script calls neither flush nor close.

- `down`: the backend refuses connections
- `never answers`: the backend accepts connections and requests, but sends no answer
- `healthy`: the backend answers; the script reports 1,000 events instead of 100

The script with trackerapi runs alone; scripts with peers run three at a time.

Exit status: 0 all targets are met, 1 a target is missed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Final

from benchmarks.rig.adapter import MARKERS
from benchmarks.rig.adapters import OURS
from benchmarks.rig.runs import (
    Options,
    Task,
    median_of,
    new_pool,
    note,
    read_options,
    run,
    temporary_folder,
)
from benchmarks.rig.sink import Sink
from benchmarks.rig.tables import NOTHING, Target, conclude, print_table

ROUNDS: Final = 3
PEERS_AT_ONCE: Final = 3
LIMIT_SECONDS: Final = 40.0
SHUTDOWN_SECONDS: Final = 2.0
FAULTS: Final[dict[str, Callable[[Sink], None]]] = {
    "down": lambda sink: sink.down(),
    "never answers": lambda sink: sink.set(hang=True),
    "healthy": lambda sink: sink.set(),
}


@dataclass(frozen=True, slots=True)
class Leaving:
    """Result of one run of a script.

    Attributes:
        seconds: Time from the last line to the end of the process; None if the process
            was killed.
        lost: Number of events that had not arrived at the end.
    """

    seconds: float | None
    lost: int


Leavings = dict[tuple[str, str], list[Leaving]]


def main() -> int:
    """Measure, print tables, compare with the targets."""
    options = read_options(__doc__, rounds=ROUNDS)
    leavings: Leavings = {}
    for turn in range(options.rounds):
        note(f"exit_delay: round {turn + 1} of {options.rounds}")
        for fault in FAULTS:
            leavings.setdefault((OURS, fault), []).append(_leave(OURS, fault, options))
            with new_pool(PEERS_AT_ONCE) as pool:
                peers = options.libraries[1:]
                results = pool.map(_leave, peers, repeat(fault), repeat(options))
                for name, leaving in zip(peers, results, strict=True):
                    leavings.setdefault((name, fault), []).append(leaving)
    status = conclude(_targets(leavings))
    print_table(
        ("seconds", *FAULTS, "healthy: lost of 1,000"),
        [_row(name, leavings) for name in options.libraries],
    )
    return status


def _leave(library: str, fault: str, options: Options) -> Leaving:
    events = options.events(1000 if fault == "healthy" else 100)
    with Sink(is_pinned=False) as sink, temporary_folder() as folder:
        FAULTS[fault](sink)
        outcome = run(
            Task(
                library=library,
                scenario="leave",
                url=sink.url,
                folder=folder,
                limit=LIMIT_SECONDS,
                arguments={"events": events},
            )
        )
        arrived = sink.counts().unique
        if library == "wandb-offline":
            time.sleep(1.0)  # The helper process of wandb writes last.
            arrived = found_in_files(folder)
    left_at = outcome.results.get("left_at")
    seconds = None
    if left_at is not None and not outcome.is_timed_out:
        seconds = outcome.ended_at - left_at
    return Leaving(seconds, events - arrived)


def found_in_files(folder: Path) -> int:
    """Return the number of events in wandb's files.

    A few events are missed: their markers are split between two blocks of a file.
    """
    found: set[bytes] = set()
    for path in folder.rglob("*.wandb"):
        found.update(MARKERS.findall(path.read_bytes()))
    return len(found)


def _targets(leavings: Leavings) -> list[Target]:
    def worst(fault: str) -> float | None:
        seconds = [one.seconds for one in leavings[OURS, fault]]
        there = [value for value in seconds if value is not None]
        return max(there) if len(there) == len(seconds) else None

    lost = max(one.lost for one in leavings[OURS, "healthy"])
    bounds = {"down": 0.3, "never answers": SHUTDOWN_SECONDS + 0.3, "healthy": 0.3}
    return [
        *(
            Target(what=f"exit, {fault}", bound=bound, measured=worst(fault), unit="s")
            for fault, bound in bounds.items()
        ),
        Target(what="lost, healthy", bound=0, measured=lost, unit="events"),
    ]


def _row(name: str, leavings: Leavings) -> tuple[str, ...]:
    def seconds(fault: str) -> str:
        times = [one.seconds for one in leavings[name, fault]]
        if None in times:
            return f"> {LIMIT_SECONDS:.0f} (killed)"
        return f"{median_of(times):.2f}"

    lost = median_of([one.lost for one in leavings[name, "healthy"]])
    cells = [seconds(fault) for fault in FAULTS]
    return (name, *cells, NOTHING if lost is None else f"{lost:,.0f}")


if __name__ == "__main__":
    raise SystemExit(main())
