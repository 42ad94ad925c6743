"""The backend's engine: cost of events beside a plain route, and cost of hard cases.

The plain route (`rig/plain_route.py`) is FastAPI, pydantic and SQLAlchemy's async
engine with one transaction per request. It stores the same rows and computes nothing.
Both sides are real servers on loopback, and take turns within each round. CPU is the
user and system time of the server process, without the processes of PostgreSQL.

Exit status: 0 all targets are met, 1 a target is missed.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.rig.engine_cases import (
    QUICK,
    Amounts,
    measure_late_events,
    measure_overlap,
    measure_reads,
)
from benchmarks.rig.engine_lists import measure_lists
from benchmarks.rig.engine_loads import (
    CONNECTIONS,
    measure_beside_late_events,
    measure_memory,
    measure_processes,
    measure_provider,
    new_load,
)
from benchmarks.rig.engine_tables import (
    POSTGRES,
    SQLITE,
    Cost,
    Figures,
    print_cases,
    print_cores,
    print_costs,
    targets_of,
)
from benchmarks.rig.load import LoadProcess
from benchmarks.rig.runs import note, read_options, temporary_folder
from benchmarks.rig.servers import Backend, Server, serve_plain
from benchmarks.rig.tables import conclude
from scripts.postgres_server import PostgresServer, find_program, running_server

ROUNDS: Final = 5
BATCH_SIZES: Final = (1, 50, 1000)
WARM_UP_BATCH: Final = 50
NewDatabase = Callable[[str], str]
"""Function that creates a database by its name and returns its address; "" for SQLite.
"""


def main() -> int:
    """Measure, print tables, compare with the targets."""
    options = read_options(__doc__, rounds=ROUNDS, peers=())
    amounts = QUICK if options.is_quick else Amounts()
    figures = Figures()
    with temporary_folder() as folder:
        run = Run(folder, options.rounds, amounts, figures)
        amounts = run.measure_sqlite()
        if find_program("initdb") is None:
            note("PostgreSQL is not installed: its targets are missed")
        else:
            with running_server() as postgres:
                run.measure_postgres(postgres)
    status = conclude(targets_of(figures, amounts))
    print_costs(figures)
    print_cases(figures, amounts)
    print_cores(figures)
    return status


@contextmanager
def _timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    note(f"engine: {what}, {time.monotonic() - began:.0f} s")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of all measurements.

    Attributes:
        folder: Folder of the databases.
        rounds: Number of rounds.
        figures: Measured values, which the methods add.
    """

    folder: Path
    rounds: int
    amounts: Amounts
    figures: Figures

    def measure_sqlite(self) -> Amounts:
        """Measure on SQLite.

        Returns:
            The amounts, with the number of events that were stored for the reads.
        """
        cases, rounds, amounts = self.figures.cases, self.rounds, self.amounts
        with _timed("SQLite beside the plain route"):
            self._beside_plain(SQLITE, lambda _name: "")
        with Backend(self.folder / "busy").serve() as server:
            with _timed("overlapping workers"):
                cases["overlap"] = measure_overlap(server, rounds, amounts)
            with _timed("late events"):
                cases |= measure_late_events(server, rounds, amounts)
            with _timed("another provider beside late events"):
                cases["beside late"] = measure_beside_late_events(
                    server, rounds, amounts
                )
            with _timed("reads"):
                reads, pages, stored = measure_reads(server, rounds, amounts)
            cases |= {"read": reads, "page": pages}
        self._measure_lists(SQLITE, lambda _name: "")
        with (
            Backend(self.folder / "heavy").serve() as busy,
            Backend(self.folder / "idle").serve() as idle,
            _timed("another provider"),
        ):
            cases["provider"] = measure_provider(busy, idle, rounds, amounts)
        with _timed("memory"):
            self.figures.memory_bytes.update(measure_memory(self.folder, amounts))
        return replace(amounts, read_history=stored)

    def measure_postgres(self, postgres: PostgresServer) -> None:
        """Measure on PostgreSQL."""

        def new_database(name: str) -> str:
            postgres.create_database(name)
            return postgres.url(name)

        with _timed("PostgreSQL beside the plain route"):
            self._beside_plain(POSTGRES, new_database)
        self._measure_lists(POSTGRES, new_database)
        with _timed("two processes"):
            backend = Backend(self.folder / "processes", new_database("processes"))
            pair, cores = measure_processes(
                backend, postgres, self.rounds, self.amounts
            )
            self.figures.cases["processes"] = pair
            self.figures.cores.update(cores)

    def _measure_lists(self, engine: str, new_database: NewDatabase) -> None:
        with _timed(f"lists, {engine}"):
            many, few = (
                Backend(self.folder / f"{name}-{engine}", new_database(name))
                for name in ("many", "few")
            )
            self.figures.cases[f"list, {engine}"] = measure_lists(
                many, few, self.rounds, self.amounts
            )

    def _beside_plain(self, engine: str, new_database: NewDatabase) -> None:
        """Add the costs of ours and of the plain route."""
        backend = Backend(self.folder / f"ours-{engine}", new_database("ours"))
        plain_url = new_database("plain").replace("://", "+asyncpg://")
        with (
            backend.serve() as ours,
            serve_plain(self.folder / f"plain-{engine}", plain_url) as plain,
        ):
            if plain is None:
                return
            for server in (ours, plain):
                _cost(server, WARM_UP_BATCH, self.amounts.warm_up_seconds)
            for _ in range(self.rounds):
                for size in BATCH_SIZES:
                    pair = (
                        _cost(ours, size, self.amounts.load_seconds),
                        _cost(plain, size, self.amounts.load_seconds),
                    )
                    self.figures.costs.setdefault((engine, size), []).append(pair)


def _cost(server: Server, size: int, seconds: float) -> Cost:
    load = new_load([server], CONNECTIONS, size, seconds)
    before = server.cpu_seconds()
    with LoadProcess(load) as process:
        sent = process.result()
    return Cost(sent.events, sent.seconds, server.cpu_seconds() - before)


if __name__ == "__main__":
    raise SystemExit(main())
