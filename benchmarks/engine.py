"""The backend's engine: cost of events beside a plain route, and cost of hard cases.

The plain route (`rig/plain_route.py`) is FastAPI, pydantic and SQLAlchemy's async
engine with one transaction per request. It stores the same rows and computes nothing.
Both sides are real servers on loopback, and take turns within each round. CPU is the
user and system time of the server process, without the processes of PostgreSQL.

Exit status: 0 all targets are met, 1 a target is missed.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.rig.engine_cases import (
    CONNECTIONS,
    HEAVY_CONNECTIONS,
    LATE_KINDS,
    QUICK,
    SHORT_HISTORY,
    SHORT_READ_HISTORY,
    Amounts,
    Pair,
    measure_late_events,
    measure_overlap,
    measure_processes,
    measure_provider,
    measure_reads,
    new_load,
)
from benchmarks.rig.load import LoadProcess
from benchmarks.rig.runs import (
    Options,
    median_of,
    note,
    read_options,
    temporary_folder,
)
from benchmarks.rig.servers import Backend, Server, serve_plain
from benchmarks.rig.tables import Target, conclude, figure, print_table
from scripts.postgres_server import PostgresServer, find_program, running_server

ROUNDS: Final = 5
SQLITE: Final = "SQLite"
POSTGRES: Final = "PostgreSQL"
BOUNDS: Final = {
    (SQLITE, 1): 8.0,
    (SQLITE, 50): 4.0,
    (SQLITE, 1000): 2.0,
    (POSTGRES, 1): 4.0,
    (POSTGRES, 50): 4.0,
    (POSTGRES, 1000): 3.0,
}
"""Minimum ratio to the plain route, by engine and size of the batches."""
BATCH_SIZES: Final = (1, 50, 1000)
WARM_UP_BATCH: Final = 50


@dataclass(frozen=True, slots=True)
class Cost:
    """Events of one load, with the CPU time of the server."""

    events: int
    seconds: float
    cpu_seconds: float

    @property
    def cpu_each(self) -> float:
        """Microseconds of the server's CPU for each event."""
        return self.cpu_seconds / self.events * 1e6

    @property
    def rate(self) -> float:
        """Events acknowledged a second."""
        return self.events / self.seconds


def main() -> int:
    """Measure, print tables, compare with the targets."""
    options = read_options(__doc__, rounds=ROUNDS, peers=())
    amounts = QUICK if options.is_quick else Amounts()
    costs: dict[tuple[str, int], list[tuple[Cost, Cost]]] = {}
    cases: dict[str, Pair] = {}
    with temporary_folder() as folder:
        with _timed("SQLite beside the plain route"):
            _beside_plain(SQLITE, folder / "sqlite", None, options, amounts, costs)
        amounts = _measure_cases(folder, options, amounts, cases)
        if find_program("initdb") is None:
            note("PostgreSQL is not installed: its targets are missed")
        else:
            with running_server() as postgres:
                _measure_postgres(postgres, folder, options, amounts, costs, cases)
    status = conclude(_targets(costs, cases, amounts))
    _print_costs(costs)
    _print_cases(cases, amounts)
    return status


@contextmanager
def _timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    note(f"engine: {what}, {time.monotonic() - began:.0f} s")


def _beside_plain(
    engine: str,
    folder: Path,
    postgres: PostgresServer | None,
    options: Options,
    amounts: Amounts,
    costs: dict[tuple[str, int], list[tuple[Cost, Cost]]],
) -> None:
    """Add the costs of ours and of the plain route, by engine and size of batches."""
    folder.mkdir()
    ours_url = plain_url = ""
    if postgres is not None:
        postgres.create_database("ours")
        postgres.create_database("plain")
        ours_url = postgres.url("ours")
        plain_url = postgres.url("plain", driver="+asyncpg")
    with (
        Backend(folder / "ours", ours_url).serve() as ours,
        serve_plain(folder / "plain", plain_url) as plain,
    ):
        if plain is None:
            return
        for server in (ours, plain):
            _cost(server, WARM_UP_BATCH, amounts.warm_up_seconds)
        for _ in range(options.rounds):
            for size in BATCH_SIZES:
                pair = (
                    _cost(ours, size, amounts.load_seconds),
                    _cost(plain, size, amounts.load_seconds),
                )
                costs.setdefault((engine, size), []).append(pair)


def _cost(server: Server, size: int, seconds: float) -> Cost:
    load = new_load([server], CONNECTIONS, size, seconds)
    before = server.cpu_seconds()
    sent = LoadProcess(load).result()
    return Cost(sent.events, sent.seconds, server.cpu_seconds() - before)


def _measure_cases(
    folder: Path, options: Options, amounts: Amounts, cases: dict[str, Pair]
) -> Amounts:
    """Add the values of the cases on SQLite, by the name of the case.

    Returns:
        The amounts, with the number of events that were stored for the reads.
    """
    with Backend(folder / "busy").serve() as server:
        with _timed("overlapping workers"):
            cases["overlap"] = measure_overlap(server, options.rounds, amounts)
        with _timed("late events"):
            cases |= measure_late_events(server, options.rounds, amounts)
        with _timed("reads"):
            cases["read"], stored = measure_reads(server, options.rounds, amounts)
    with (
        Backend(folder / "heavy").serve() as busy,
        Backend(folder / "idle").serve() as idle,
        _timed("another provider"),
    ):
        cases["provider"] = measure_provider(busy, idle, options.rounds, amounts)
    return replace(amounts, read_history=stored)


def _measure_postgres(
    postgres: PostgresServer,
    folder: Path,
    options: Options,
    amounts: Amounts,
    costs: dict[tuple[str, int], list[tuple[Cost, Cost]]],
    cases: dict[str, Pair],
) -> None:
    """Add the costs and cases on PostgreSQL."""
    with _timed("PostgreSQL beside the plain route"):
        _beside_plain(POSTGRES, folder / "postgres", postgres, options, amounts, costs)
    with _timed("two processes"):
        cases["processes"] = measure_processes(
            folder / "processes", postgres, options.rounds, amounts
        )


def _targets(
    costs: dict[tuple[str, int], list[tuple[Cost, Cost]]],
    cases: dict[str, Pair],
    amounts: Amounts,
) -> list[Target]:
    def measured(case: str) -> float | None:
        return cases[case].ratio if case in cases else None

    return [
        *(
            Target(
                what=f"events per CPU second beside the plain route, {engine}, batches"
                f" of {size:,}",
                bound=bound,
                measured=_ratio(costs.get((engine, size), [])),
                is_minimum=True,
            )
            for (engine, size), bound in BOUNDS.items()
        ),
        Target(
            what="CPU per event, four workers in the same seconds beside one worker",
            bound=1.5,
            measured=measured("overlap"),
        ),
        *(
            Target(
                what=f"time of a late {kind}, {amounts.long_history:,} events beside"
                f" {SHORT_HISTORY:,}",
                bound=1.5,
                measured=measured(f"late {kind}"),
            )
            for kind in LATE_KINDS
        ),
        Target(
            what=f"p99 of an event beside {HEAVY_CONNECTIONS} connections of another"
            " provider, beside an idle server",
            bound=3.0,
            measured=measured("provider"),
        ),
        Target(
            what=f"p99 of reading a job, {amounts.read_history:,} events beside"
            f" {SHORT_READ_HISTORY:,}",
            bound=1.5,
            measured=measured("read"),
        ),
        Target(
            what="events a second, two processes on PostgreSQL beside one",
            bound=1.4,
            measured=measured("processes"),
            is_minimum=True,
        ),
    ]


def _ratio(pairs: Sequence[tuple[Cost, Cost]]) -> float | None:
    """Return the median ratio of events per CPU second, ours to the plain route."""
    return median_of(_ratios(pairs))


def _ratios(pairs: Sequence[tuple[Cost, Cost]]) -> list[float]:
    return [plain.cpu_each / ours.cpu_each for ours, plain in pairs]


def _with_range(ratio: float | None, ratios: Sequence[float]) -> str:
    return f"{figure(ratio, 'x')} ({figure(min(ratios))} to {figure(max(ratios))})"


def _print_costs(costs: dict[tuple[str, int], list[tuple[Cost, Cost]]]) -> None:
    def row(engine: str, size: int, pairs: list[tuple[Cost, Cost]]) -> list[str]:
        ours, plain = zip(*pairs, strict=True)
        return [
            f"{engine}, {size:,}",
            figure(median_of([each.cpu_each for each in ours])),
            figure(median_of([each.cpu_each for each in plain])),
            _with_range(_ratio(pairs), _ratios(pairs)),
            f"{median_of([each.rate for each in ours]):,.0f}",
            f"{median_of([each.rate for each in plain]):,.0f}",
        ]

    head = (
        *("events a batch", "CPU µs/event", "plain route", "ratio (range)"),
        *("events/s", "plain route"),
    )
    print_table(head, [row(*key, pairs) for key, pairs in costs.items()])


def _print_cases(cases: dict[str, Pair], amounts: Amounts) -> None:
    units: dict[str, tuple[str, float, str]] = {
        "overlap": ("CPU per event: four workers / one", 1, "µs"),
        "provider": ("p99 of an event: loaded server / idle server", 1e3, "ms"),
        "read": (
            f"p99 of a read: {amounts.read_history:,} events / {SHORT_READ_HISTORY:,}",
            1e3,
            "ms",
        ),
        "processes": ("events a second: two processes / one", 1, ""),
    }
    for kind in LATE_KINDS:
        histories = f"{amounts.long_history:,} events / {SHORT_HISTORY:,}"
        units[f"late {kind}"] = (f"late {kind}: {histories}", 1e3, "ms")

    def row(name: str, pair: Pair) -> list[str]:
        title, factor, unit = units[name]
        sides = [
            figure((median_of(values) or 0.0) * factor, unit)
            for values in (pair.ours, pair.beside)
        ]
        ratios = [a / b for a, b in zip(pair.ours, pair.beside, strict=True)]
        return [title, *sides, _with_range(pair.ratio, ratios)]

    head = ("case: first / second", "first", "second", "ratio (range)")
    print_table(head, [row(name, pair) for name, pair in cases.items()])


if __name__ == "__main__":
    raise SystemExit(main())
