"""Lost and doubled events when the backend or the script fails.

1,000 events are reported over 2 to 12 seconds; before `kill -9`, without pauses. In the
`fork` column, a parent and its child report 100 events each. Then the library has time
to deliver. After `kill -9`, another process with the same library starts in the same
folder. A repeated delivery is harmless if the event has an id by which the backend
detects duplicates, as the events of trackerapi have.

Five libraries are measured at the same time, because they mostly wait.

Exit status: 0 if trackerapi loses no event, 1 if it does.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any, Final

from benchmarks.exit_delay import found_in_files
from benchmarks.rig.adapters import OURS
from benchmarks.rig.runs import (
    Options,
    Outcome,
    Task,
    new_pool,
    note,
    read_options,
    run,
    temporary_folder,
)
from benchmarks.rig.sink import Sink, SinkCounts
from benchmarks.rig.tables import Target, conclude, print_table
from benchmarks.rig.worker import CHILD, PARENT

ROUNDS: Final = 1
AT_ONCE: Final = 5
EVENTS: Final = 1000
FORK_EVENTS: Final = 100
KEEPS_FILES: Final = "wandb-offline"


@dataclass(frozen=True, slots=True)
class Loss:
    """Lost and repeated events of one case.

    Attributes:
        lost: Number of events that never arrived, for each reporting process.
        repeats: Number of repeated deliveries.
        remark: Remark for the table, such as `child hung`; empty for none.
    """

    lost: tuple[int, ...]
    repeats: int
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A backend that fails while events are reported.

    Attributes:
        faults: Arguments of `Sink.set()`; None for no faults.
        down_seconds: Time during which the sink refuses connections; 0 for none.
        gap: Seconds between events.
        wait: Seconds for delivery after the last event.
    """

    faults: Mapping[str, Any] | None = None
    down_seconds: float = 0.0
    gap: float = 0.008
    wait: float = 40.0

    def __call__(self, library: str, options: Options) -> Loss:
        """Measure `library`."""
        events = options.events(EVENTS)
        with Sink(is_pinned=False) as sink, temporary_folder() as folder:
            healing = threading.Timer(self.down_seconds, sink.up)
            if self.faults:
                sink.set(**self.faults)
            if self.down_seconds:
                sink.down()
                healing.start()
            arguments = {"events": events, "gap": self.gap, "wait": self.wait}
            outcome = _use(library, "outage", sink, folder, **arguments)
            if self.down_seconds:
                healing.join()
            time.sleep(0.5)
            counts = sink.counts()
            arrived = _arrived(library, counts, folder)
        untried = events - outcome.results.get("emitted", 0)
        remark = f"{untried} never tried: caller blocked" if untried else ""
        return Loss((events - arrived,), counts.repeats, remark)


def measure_kill(library: str, options: Options, *, is_down: bool) -> Loss:
    """Kill the process after the last call; start another process in its folder."""
    events = options.events(EVENTS)
    with Sink(is_pinned=False) as sink, temporary_folder() as folder:
        if is_down:
            sink.down()
        _use(library, "kill", sink, folder, events=events)
        time.sleep(1.0)
        if is_down:
            sink.up()
        _use(library, "recover", sink, folder, wait=5.0)
        counts = sink.counts()
        arrived = _arrived(library, counts, folder)
    return Loss((events - arrived,), counts.repeats)


def measure_fork(library: str, options: Options) -> Loss:
    """Report in a process and in its forked child."""
    events = options.events(FORK_EVENTS)
    with Sink(is_pinned=False) as sink, temporary_folder() as folder:
        outcome = _use(library, "fork", sink, folder, events=events, wait=6.0)
        seen, repeats = sink.events(), sink.counts().repeats
    lost = tuple(
        events - sum(key.startswith(f"EVT{run:04x}") for key in seen)
        for run in (PARENT, CHILD)
    )
    return Loss(
        lost, repeats, "child hung" if outcome.results.get("child_hung") else ""
    )


Case = Callable[[str, Options], Loss]
CASES: Final[dict[str, Case]] = {
    "down 10 s": Outage(down_seconds=10.0, gap=0.012),
    "down 30 s": Outage(down_seconds=30.0, wait=60.0),
    "503 for 6 s": Outage(faults={"status": 503, "until": 6}),
    "429 for 6 s": Outage(faults={"status": 429, "retry_after": 2, "until": 6}),
    "every 3rd answer dropped": Outage(faults={"drop_every": 3}, gap=0.002),
    "kill -9": partial(measure_kill, is_down=False),
    "kill -9 while down": partial(measure_kill, is_down=True),
    "fork: parent / child": measure_fork,
}


def main() -> int:
    """Measure and print the tables; return the exit status."""
    options = read_options(__doc__, rounds=ROUNDS)
    losses: dict[tuple[str, str], list[Loss]] = {}
    for turn in range(options.rounds):
        for name, case in CASES.items():
            note(f"loss: {name}, round {turn + 1} of {options.rounds}")
            with new_pool(AT_ONCE) as pool:
                found = pool.map(case, options.libraries, repeat(options))
                for library, loss in zip(options.libraries, found, strict=True):
                    losses.setdefault((library, name), []).append(loss)
    status = conclude(
        [
            Target(
                what=f"lost, {name}",
                bound=0,
                measured=max(sum(loss.lost) for loss in losses[OURS, name]),
                unit="events",
            )
            for name in CASES
        ]
    )
    print_table(
        ("lost", *CASES),
        [
            (library, *(_cell(library, name, losses) for name in CASES))
            for library in options.libraries
        ],
    )
    return status


def _use(
    library: str, scenario: str, sink: Sink, folder: Path, **arguments: Any
) -> Outcome:
    task = Task(
        library=library,
        scenario=scenario,
        url=sink.url,
        folder=folder,
        limit=150.0,
        arguments=arguments,
    )
    return run(task)


def _arrived(library: str, counts: SinkCounts, folder: Path) -> int:
    return found_in_files(folder) if library == KEEPS_FILES else counts.unique


def _cell(library: str, name: str, losses: Mapping[tuple[str, str], list[Loss]]) -> str:
    if library == KEEPS_FILES and "fork" in name:
        return "not supported"
    worst = max(losses[library, name], key=lambda loss: (sum(loss.lost), loss.repeats))
    text = " / ".join(f"{part:,}" for part in worst.lost)
    if worst.repeats:
        text += f" (+{worst.repeats:,} repeats)"
    return f"{text} ({worst.remark})" if worst.remark else text


if __name__ == "__main__":
    raise SystemExit(main())
