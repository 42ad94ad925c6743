"""Memory for 1,000,000 undelivered events while the backend is down.

The growth of the resident set since the first events is measured three seconds after
the last event, and at its maximum. A peer keeps as many events as its queue admits, and
drops all further events.

Exit status: 0 the target is met, 1 the target is missed.
"""

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.rig.adapters import OURS, PEERS
from benchmarks.rig.runs import (
    Options,
    Task,
    median_of,
    note,
    read_options,
    run,
    temporary_folder,
)
from benchmarks.rig.sink import Sink
from benchmarks.rig.tables import Target, conclude, figure, print_table

ROUNDS: Final = 1
EVENTS: Final = 1_000_000
LIMIT_SECONDS: Final = 90.0
BOUND_MB: Final = 60.0
BESIDE: Final = ("sentry-log", "posthog", "segment", "otel-log")
MB: Final = 1e6


def main() -> int:
    """Measure, print tables, compare with the target."""
    peers = [peer for peer in PEERS if peer.name in BESIDE]
    options = read_options(__doc__, rounds=ROUNDS, peers=peers)
    growth: dict[str, list[Mapping[str, Any]]] = {}
    for turn in range(options.rounds):
        note(f"memory: round {turn + 1} of {options.rounds}")
        for name in options.libraries:
            growth.setdefault(name, []).append(_measure(name, options))

    def column(name: str, key: str, unit: float = 1.0) -> float | None:
        values = [
            results[key] / unit if key in results else None for results in growth[name]
        ]
        return None if None in values else median_of(values)

    peak = column(OURS, "peak_grown_bytes", MB)
    is_whole = column(OURS, "emitted") == options.events(EVENTS)
    status = conclude(
        [
            Target(
                what=f"growth at its highest, {EVENTS:,} waiting",
                bound=BOUND_MB,
                measured=peak if is_whole else None,
                unit="MB",
            )
        ]
    )
    rows = [
        (
            name,
            figure(column(name, "emitted")),
            figure(column(name, "grown_bytes", MB)),
            figure(column(name, "peak_grown_bytes", MB)),
        )
        for name in options.libraries
    ]
    print_table(("library", "reported", "growth, MB", "highest, MB"), rows)
    return status


def _measure(library: str, options: Options) -> Mapping[str, Any]:
    with Sink() as sink, temporary_folder() as folder:
        sink.down()
        return run(
            Task(
                library=library,
                scenario="memory",
                url=sink.url,
                folder=folder,
                limit=LIMIT_SECONDS + 60.0,
                arguments={"events": options.events(EVENTS), "limit": LIMIT_SECONDS},
            )
        ).results


if __name__ == "__main__":
    raise SystemExit(main())
