"""Targets and tables of the engine's benchmark."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.rig.engine_cases import (
    LATE_KINDS,
    SHORT_HISTORY,
    SHORT_READ_HISTORY,
    Amounts,
    Pair,
)
from benchmarks.rig.engine_lists import FEW_JOBS
from benchmarks.rig.engine_loads import HEAVY_CONNECTIONS, MESSAGE_LENGTHS
from benchmarks.rig.runs import median_of
from benchmarks.rig.tables import Target, figure, print_table

SQLITE: Final = "SQLite"
POSTGRES: Final = "PostgreSQL"
ENGINES: Final = (SQLITE, POSTGRES)
BOUNDS: Final = {
    (SQLITE, 1): 8.0,
    (SQLITE, 50): 4.0,
    (SQLITE, 1000): 2.0,
    (POSTGRES, 1): 4.0,
    (POSTGRES, 50): 4.0,
    (POSTGRES, 1000): 3.0,
}
"""Minimum ratio to the plain route, by engine and size of the batches."""
MAX_MEMORY_MB: Final = 150
FULL_SHARE: Final = 0.9
"""Share of all cores in use at which two processes cannot store more events."""
_MB: Final = 1e6


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


@dataclass(frozen=True, slots=True)
class Figures:
    """Measured values of one run.

    Attributes:
        costs: Costs of ours and of the plain route in each round, by engine and size
            of the batches.
        cases: Values of the two sides of each case, by the name of the case.
        memory_bytes: Maximum memory of the server, by the name of the load.
        cores: Cores in use while two processes store events, by their user.
    """

    costs: dict[tuple[str, int], list[tuple[Cost, Cost]]] = field(default_factory=dict)
    cases: dict[str, Pair] = field(default_factory=dict)
    memory_bytes: dict[str, float] = field(default_factory=dict)
    cores: dict[str, float] = field(default_factory=dict)

    @property
    def has_full_cores(self) -> bool:
        """Whether two processes and what they need leave no core free."""
        return sum(self.cores.values()) >= FULL_SHARE * (os.cpu_count() or 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Texts and bound of a case that compares two sides.

    Attributes:
        target: Text of the target.
        sides: Measured value and names of the two sides.
        bound: Bound of the ratio.
        is_minimum: Whether the bound is a minimum.
        unit: Unit of the values; those in "ms" are measured in seconds.
    """

    target: str
    sides: str
    bound: float = 1.5
    is_minimum: bool = False
    unit: str = "ms"


def cases_of(amounts: Amounts) -> dict[str, Case]:
    """Return the cases by name."""
    long, few = f"{amounts.long_history:,} events", f"{SHORT_HISTORY:,}"
    read, many = f"{amounts.read_history:,} events", f"{amounts.many_jobs:,} jobs"
    return {
        "overlap": Case(
            target="CPU per event, four workers in the same seconds beside one worker",
            sides="CPU per event: four workers / one",
            unit="µs",
        ),
        **{
            f"late {kind}": Case(
                target=f"time of a late {kind}, {long} beside {few}",
                sides=f"late {kind}: {long} / {few}",
            )
            for kind in LATE_KINDS
        },
        "beside late": Case(
            target=f"p99 of an event beside another provider's late events, {long}"
            f" beside {few}",
            sides=f"p99 of an event beside late events: {long} / {few}",
        ),
        "provider": Case(
            target=f"p99 of an event beside {HEAVY_CONNECTIONS} connections of another"
            " provider, beside an idle server",
            sides="p99 of an event: loaded server / idle server",
            bound=3.0,
        ),
        **{
            f"list, {engine}": Case(
                target=f"p99 of a list of 50 jobs, {engine}, {many} beside"
                f" {FEW_JOBS:,}",
                sides=f"p99 of a list, {engine}: {many} / {FEW_JOBS:,}",
                bound=2.0,
            )
            for engine in ENGINES
        },
        "read": Case(
            target=f"p99 of reading a job, {read} beside {SHORT_READ_HISTORY:,}",
            sides=f"p99 of a read: {read} / {SHORT_READ_HISTORY:,}",
        ),
        "page": Case(
            target=f"p50 of the customer's page, {read} beside {SHORT_READ_HISTORY:,}",
            sides=f"p50 of a page: {read} / {SHORT_READ_HISTORY:,}",
        ),
        "processes": Case(
            target="events a second, two processes on PostgreSQL beside one",
            sides="events a second: two processes / one",
            bound=1.4,
            is_minimum=True,
            unit="",
        ),
    }


def targets_of(figures: Figures, amounts: Amounts) -> list[Target]:
    """Return the targets with their measured values."""
    costs = [
        Target(
            what=f"events per CPU second beside the plain route, {engine}, batches of"
            f" {size:,}",
            bound=bound,
            measured=_ratio(figures.costs.get((engine, size), [])),
            is_minimum=True,
        )
        for (engine, size), bound in BOUNDS.items()
    ]
    cases = [
        Target(
            what=case.target,
            bound=case.bound,
            measured=figures.cases[name].ratio if name in figures.cases else None,
            is_minimum=case.is_minimum,
            limit="no core is free"
            if name == "processes" and figures.has_full_cores
            else "",
        )
        for name, case in cases_of(amounts).items()
    ]
    memory = [
        Target(
            what=f"memory beside {HEAVY_CONNECTIONS} connections of two providers,"
            f" {load}",
            bound=MAX_MEMORY_MB,
            measured=figures.memory_bytes[load] / _MB,
            unit="MB",
        )
        for load in MESSAGE_LENGTHS
    ]
    return [*costs, *cases, *memory]


def _ratio(pairs: Sequence[tuple[Cost, Cost]]) -> float | None:
    """Return the median ratio of events per CPU second, ours to the plain route."""
    return median_of(_ratios(pairs))


def _ratios(pairs: Sequence[tuple[Cost, Cost]]) -> list[float]:
    return [plain.cpu_each / ours.cpu_each for ours, plain in pairs]


def _with_range(ratio: float | None, ratios: Sequence[float]) -> str:
    return f"{figure(ratio, 'x')} ({figure(min(ratios))} to {figure(max(ratios))})"


def print_costs(figures: Figures) -> None:
    """Print the costs beside the plain route."""

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
    print_table(head, [row(*key, pairs) for key, pairs in figures.costs.items()])


def print_cases(figures: Figures, amounts: Amounts) -> None:
    """Print both sides of each case."""
    cases = cases_of(amounts)

    def row(name: str, pair: Pair) -> list[str]:
        case = cases[name]
        factor = 1e3 if case.unit == "ms" else 1.0
        sides = [
            figure((median_of(values) or 0.0) * factor, case.unit)
            for values in (pair.ours, pair.beside)
        ]
        ratios = [a / b for a, b in zip(pair.ours, pair.beside, strict=True)]
        return [case.sides, *sides, _with_range(pair.ratio, ratios)]

    head = ("case: first / second", "first", "second", "ratio (range)")
    print_table(head, [row(name, pair) for name, pair in figures.cases.items()])


def print_cores(figures: Figures) -> None:
    """Print what uses the cores while two processes store events."""
    rows = [(name, figure(used)) for name, used in figures.cores.items()]
    rows.append(("all", f"{sum(figures.cores.values()):.2f} of {os.cpu_count()}"))
    print_table(("two processes on PostgreSQL: user", "cores"), rows)
