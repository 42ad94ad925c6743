"""Duration of one reporting call, compared with the calls of the peers.

- `burst`: calls back to back
- `paced`: calls 3 ms apart, as in a job
- `away`: calls 3 ms apart, and each answer of the backend takes 200 ms
- `down`: calls 3 ms apart, and the backend refuses connections

When the call returns, trackerapi has written the event to the disk. A peer has the
event in memory; a peer that waits for the answer has delivered the event. Measurements
with a target run in pairs, one right after the other.

Exit status: 0 all targets are met, 1 a target is missed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.rig.adapter import Adapter
from benchmarks.rig.adapters import OURS, PEERS, own
from benchmarks.rig.places import worker_cpu
from benchmarks.rig.runs import (
    Options,
    Task,
    median_of,
    note,
    ratio_of,
    read_options,
    run,
    temporary_folder,
)
from benchmarks.rig.sink import Sink
from benchmarks.rig.tables import Target, conclude, microseconds, print_table

ROUNDS: Final = 5
PAIRS: Final = 31
"""Number of pairs in a comparison: the duration of a call after a pause of 3 ms depends
on the state of the machine, which changes within seconds."""
LIMIT_SECONDS: Final = 12.0


@dataclass(frozen=True, slots=True)
class Condition:
    """Circumstances of the calls.

    Attributes:
        events: Number of calls.
        blocking_events: Number of calls of a library that waits for each answer.
        gap: Seconds between calls.
    """

    events: int
    blocking_events: int
    gap: float = 0.003


CONDITIONS: Final = {
    "burst": Condition(2000, 300, gap=0.0),
    "paced": Condition(300, 300),
    "away": Condition(300, 6),
    "down": Condition(300, 6),
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two compared measurements: trackerapi, and another library or condition.

    Attributes:
        what: Name of the comparison in the table.
        bound: Maximum ratio of the durations.
        condition: Condition of the calls of trackerapi.
        other: Library of the other measurement.
        other_condition: Condition of the calls of the other measurement.
    """

    what: str
    bound: float
    condition: str
    other: str
    other_condition: str


COMPARISONS: Final = (
    Comparison(
        "burst p50 beside sentry-sdk's log call", 1.0, "burst", "sentry-log", "burst"
    ),
    Comparison(
        "burst p50 beside sentry-sdk's message call",
        0.05,
        "burst",
        "sentry-message",
        "burst",
    ),
    Comparison(
        "burst p50 beside `requests.post`", 0.01, "burst", "requests.post", "burst"
    ),
    Comparison(
        "paced p50 beside OpenTelemetry's log emit", 0.8, "paced", "otel-log", "paced"
    ),
    Comparison("paced p50, 200 ms away beside healthy", 1.15, "away", OURS, "paced"),
    Comparison("paced p50, down beside healthy", 1.15, "down", OURS, "paced"),
)
Figures = dict[tuple[str, str], list[dict[str, Any]]]


def main() -> int:
    """Measure, print tables, compare with the targets."""
    peers = [peer for peer in PEERS if not peer.name.endswith("-big")]
    options = read_options(__doc__, rounds=ROUNDS, peers=[*peers, own.Spool])
    figures: Figures = {}
    for turn in range(options.rounds):
        note(f"emit_cost: round {turn + 1} of {options.rounds}")
        for adapter in options.adapters:
            for condition in CONDITIONS:
                results = _measure(adapter, condition, options)
                figures.setdefault((adapter.name, condition), []).append(results)
    status = conclude(_targets(options))
    _print_figures(figures, options)
    return status


def _measure(adapter: type[Adapter], name: str, options: Options) -> dict[str, Any]:
    condition = CONDITIONS[name]
    blocks = adapter.blocks
    events = condition.blocking_events if blocks else condition.events
    with Sink() as sink, temporary_folder() as folder:
        if name == "away":
            sink.set(latency=0.2)
        if name == "down" and adapter is not own.Spool:
            sink.down()
        task = Task(
            library=adapter.name,
            scenario="calls",
            url=sink.url,
            folder=folder,
            limit=LIMIT_SECONDS,
            arguments={
                "events": options.events(events),
                "gap": condition.gap,
                "limit": 4.0,
                "warm_up": 1 if blocks and name in {"away", "down"} else 5,
                "cpu": worker_cpu(),
            },
        )
        return dict(run(task).results)


def _targets(options: Options) -> list[Target]:
    names = {adapter.name: adapter for adapter in options.adapters}
    return [
        Target(
            what=comparison.what,
            bound=comparison.bound,
            measured=_ratio(comparison, names, options)
            if comparison.other in names
            else None,
        )
        for comparison in COMPARISONS
    ]


def _ratio(
    comparison: Comparison, names: Mapping[str, type[Adapter]], options: Options
) -> float | None:
    """Return the median of the ratios of all pairs; the order in a pair alternates."""
    note(f"emit_cost: {comparison.what}")
    sides = (
        (OURS, comparison.condition),
        (comparison.other, comparison.other_condition),
    )
    results: dict[tuple[str, str], list[float | None]] = {side: [] for side in sides}
    for turn in range(1 if options.is_quick else PAIRS):
        for name, condition in sides if turn % 2 else sides[::-1]:
            figures = _measure(names[name], condition, options)
            results[name, condition].append(figures.get("p50"))
    return ratio_of(results[sides[0]], results[sides[1]])


def _print_figures(figures: Figures, options: Options) -> None:
    def cell(name: str, condition: str) -> str:
        results = figures[name, condition]
        if not any(results):
            return f"> {LIMIT_SECONDS:.0f} s"
        p50, p99 = (
            median_of([one.get(key) for one in results]) for key in ("p50", "p99")
        )
        raises = " (raises)" if any(one.get("errors") for one in results) else ""
        return f"{microseconds(p50)} / {microseconds(p99)}{raises}"

    print_table(
        ("µs, p50 / p99", *CONDITIONS),
        [
            (name, *(cell(name, condition) for condition in CONDITIONS))
            for name in options.libraries
        ],
    )


if __name__ == "__main__":
    raise SystemExit(main())
