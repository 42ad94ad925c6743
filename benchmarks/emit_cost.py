"""What one reporting call costs the caller, beside what the peers' calls cost.

`burst`: back to back; `paced`: 3 ms apart, as a job does; `away`: paced, each answer
takes 200 ms; `down`: paced, connections are refused. Ours is on the disk when the call
returns, the peers' is in memory or, where the call waits for the answer, delivered.

Exit status: 0 within the targets, 1 not.
"""

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
LIMIT_SECONDS: Final = 12.0


@dataclass(frozen=True, slots=True)
class Condition:
    """Under what circumstances the calls are made.

    Attributes:
        events: Calls.
        blocking_events: Calls of a library that waits for each answer.
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
                told = _measure(adapter, condition, options)
                figures.setdefault((adapter.name, condition), []).append(told)
    status = conclude(_targets(figures))
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
        return dict(run(task).told)


def _targets(figures: Figures) -> list[Target]:
    def ratio(condition: str, peer: str) -> float | None:
        return ratio_of(p50(OURS, condition), p50(peer, condition))

    def p50(name: str, condition: str) -> list[float | None]:
        return [told.get("p50") for told in figures.get((name, condition), [])]

    def beside_healthy(condition: str) -> float | None:
        return ratio_of(p50(OURS, condition), p50(OURS, "paced"))

    rows = (
        ("burst p50 beside sentry-sdk's log call", 1.0, ratio("burst", "sentry-log")),
        (
            "burst p50 beside sentry-sdk's message call",
            0.05,
            ratio("burst", "sentry-message"),
        ),
        ("burst p50 beside `requests.post`", 0.01, ratio("burst", "requests.post")),
        ("paced p50 beside OpenTelemetry's log emit", 0.8, ratio("paced", "otel-log")),
        ("paced p50, 200 ms away beside healthy", 1.15, beside_healthy("away")),
        ("paced p50, down beside healthy", 1.15, beside_healthy("down")),
    )
    return [Target(what=what, bound=bound, measured=got) for what, bound, got in rows]


def _print_figures(figures: Figures, options: Options) -> None:
    def cell(name: str, condition: str) -> str:
        told = figures[name, condition]
        if not any(told):
            return f"> {LIMIT_SECONDS:.0f} s"
        p50, p99 = (median_of([one.get(key) for one in told]) for key in ("p50", "p99"))
        raises = " (raises)" if any(one.get("errors") for one in told) else ""
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
