"""The backend's engine: cost of events beside a plain route, and cost of hard cases.

The plain route (`rig/plain_route.py`) is FastAPI, pydantic and SQLAlchemy's async
engine with one transaction per request. It stores the same rows and computes nothing.
Both sides are real servers on loopback, and take turns within each round. CPU is the
user and system time of the server process, without the processes of PostgreSQL.

Exit status: 0 all targets are met, 1 a target is missed.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.rig.database import PostgresServer, postgres_server
from benchmarks.rig.load import (
    Connection,
    JobEvents,
    Load,
    LoadProcess,
    Sent,
)
from benchmarks.rig.runs import (
    Options,
    median_of,
    note,
    ratio_of,
    read_options,
    temporary_folder,
)
from benchmarks.rig.servers import Backend, Server, new_job, serve_plain
from benchmarks.rig.tables import Target, conclude, figure, print_table

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
CONNECTIONS: Final = 16
HEAVY_CONNECTIONS: Final = 64
MAX_BATCH: Final = 1000
WORKERS: Final = 4
OVERLAP_BATCH: Final = 50
LATE_KINDS: Final = ("start", "progress", "error")
TWO_PROCESSES_BATCH: Final = 50
_PROBE_PAUSE_SECONDS: Final = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """Durations and numbers of one run.

    Attributes:
        load_seconds: Duration of one load.
        warm_up_seconds: Duration of the first load of a server, which does not count.
        heavy_seconds: Duration of a load beside another provider's requests.
        overlap_batches: Number of batches of the overlapping workers in a round.
        late_events: Number of late events of each kind in a round.
        long_history: Number of events of the long job with late events.
        reads: Number of reads of a job in a round.
        read_history: Number of events of the long job that is read.
    """

    load_seconds: float = 1.5
    warm_up_seconds: float = 0.5
    heavy_seconds: float = 7.0
    overlap_batches: int = 200
    late_events: int = 20
    long_history: int = 100_000
    reads: int = 400
    read_history: int = 1_000_000


QUICK: Final = Amounts(
    load_seconds=0.5,
    warm_up_seconds=0.2,
    heavy_seconds=3.0,
    overlap_batches=40,
    long_history=20_000,
    reads=100,
    read_history=20_000,
)
SHORT_HISTORY: Final = 1_000
SHORT_READ_HISTORY: Final = 100


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


@dataclass(slots=True)
class Pair:
    """Values of two sides, one value of each side per round."""

    ours: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)

    def add(self, ours: float, beside: float) -> None:
        """Add the values of one round."""
        self.ours.append(ours)
        self.beside.append(beside)

    @property
    def ratio(self) -> float | None:
        """Median over the rounds of the ratio of ours to the other side."""
        return ratio_of(self.ours, self.beside)


def main() -> int:
    """Measure, print tables, compare with the targets."""
    options = read_options(__doc__, rounds=ROUNDS, peers=())
    amounts = QUICK if options.is_quick else Amounts()
    costs: dict[tuple[str, int], list[tuple[Cost, Cost]]] = {}
    cases: dict[str, Pair] = {}
    with temporary_folder() as folder:
        with _timed("SQLite beside the plain route"):
            _beside_plain(SQLITE, folder / "sqlite", None, options, amounts, costs)
        _measure_cases(folder, options, amounts, cases)
        with postgres_server() as postgres:
            if postgres is None:
                note("PostgreSQL is not installed: its targets are missed")
            else:
                with _timed("PostgreSQL beside the plain route"):
                    _beside_plain(
                        POSTGRES, folder / "postgres", postgres, options, amounts, costs
                    )
                with _timed("two processes"):
                    cases["processes"] = _two_processes(
                        folder / "processes", postgres, options, amounts
                    )
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
        plain_url = postgres.url("plain", "+asyncpg")
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
    load = _new_load([server], CONNECTIONS, size, seconds)
    before = server.cpu_seconds()
    sent = LoadProcess(load).result()
    return Cost(sent.events, sent.seconds, server.cpu_seconds() - before)


def _new_load(
    servers: Sequence[Server], connections: int, size: int, seconds: float
) -> Load:
    """Return a load with a new job for each connection."""
    return Load(
        urls=[server.url for server in servers],
        key=servers[0].account.key,
        jobs=servers[0].new_jobs(connections),
        size=size,
        seconds=seconds,
    )


def _measure_cases(
    folder: Path, options: Options, amounts: Amounts, cases: dict[str, Pair]
) -> None:
    """Add the values of the cases on SQLite, by the name of the case."""
    with Backend(folder / "busy").serve() as server:
        with _timed("overlapping workers"):
            cases["overlap"] = _overlapping(server, options, amounts)
        with _timed("late events"):
            cases |= _late(server, options, amounts)
        with _timed("reads"):
            cases["read"] = _reads(server, options, amounts)
    with (
        Backend(folder / "heavy").serve() as busy,
        Backend(folder / "idle").serve() as idle,
        _timed("another provider"),
    ):
        cases["provider"] = _another_provider(busy, idle, options, amounts)


def _overlapping(server: Server, options: Options, amounts: Amounts) -> Pair:
    """Return the CPU per event of four workers in turns, and of one worker."""
    pair = Pair()
    for _ in range(options.rounds):
        four, one = (_workers_cost(server, n, amounts) for n in (WORKERS, 1))
        pair.add(four, one)
    return pair


def _workers_cost(server: Server, workers: int, amounts: Amounts) -> float:
    """Return the CPU per event of a job, in microseconds.

    The workers send batches in turns. The batches of one turn cover the same time.
    """
    [job] = server.new_jobs(1)
    events = JobEvents(job)
    before = server.cpu_seconds()
    with server.connect() as connection:
        for batch in range(amounts.overlap_batches):
            turn, worker = divmod(batch, workers)
            first, span = batch * OVERLAP_BATCH, workers / WORKERS
            lines = [
                events.event(
                    first + each,
                    at=turn * OVERLAP_BATCH * span + each * span,
                    part=f"worker-{worker}",
                )
                for each in range(OVERLAP_BATCH)
            ]
            connection.post_batch(lines, is_array=False)
    count = amounts.overlap_batches * OVERLAP_BATCH
    return (server.cpu_seconds() - before) / count * 1e6


def _late(server: Server, options: Options, amounts: Amounts) -> dict[str, Pair]:
    """Return the seconds of a late event in a long and in a short history, by kind."""
    cases = {f"late {kind}": Pair() for kind in LATE_KINDS}
    with server.connect() as connection:
        long = _new_history(server, connection, amounts.long_history)[1]
        short = _new_history(server, connection, SHORT_HISTORY)[1]
        sent = 0
        for _ in range(options.rounds):
            for kind in LATE_KINDS:
                times: tuple[list[float], list[float]] = ([], [])
                for _ in range(amounts.late_events):
                    sent += 1
                    for (events, count), taken in zip(
                        ((long, amounts.long_history), (short, SHORT_HISTORY)),
                        times,
                        strict=True,
                    ):
                        # The same positions within both histories.
                        at = count * (0.25 + sent % 97 / 200)
                        body = events.event(count + sent, at=at, kind=kind)
                        taken.append(_seconds_of_post(connection, body))
                cases[f"late {kind}"].add(*map(statistics.median, times))
    return cases


def _new_history(
    server: Server, connection: Connection, count: int
) -> tuple[int, JobEvents]:
    """Create a job with events; return the id of the job and its events."""
    events = JobEvents(f"history-{count}-{time.time_ns()}")
    job_id = new_job(connection, events.job, server.account)
    for first in range(0, count, MAX_BATCH):
        numbers = range(first, min(first + MAX_BATCH, count))
        connection.post_batch([events.event(n) for n in numbers], is_array=False)
    return job_id, events


def _seconds_of_post(connection: Connection, event: bytes) -> float:
    began = time.perf_counter()
    status, answer = connection.post("/events", event)
    taken = time.perf_counter() - began
    if status != 201:
        raise RuntimeError(f"event: status {status}, {answer[:500]!r}")
    return taken


def _reads(server: Server, options: Options, amounts: Amounts) -> Pair:
    """Return the p99 in seconds of reading a job with a long and a short history."""
    pair = Pair()
    with server.connect() as connection:
        long, _ = _new_history(server, connection, amounts.read_history)
        short, _ = _new_history(server, connection, SHORT_READ_HISTORY)
        for _ in range(options.rounds):
            times = _alternate(
                amounts.reads,
                lambda: _seconds_of_read(connection, long),
                lambda: _seconds_of_read(connection, short),
            )
            pair.add(*map(_p99, times))
    return pair


def _seconds_of_read(connection: Connection, job_id: int) -> float:
    began = time.perf_counter()
    status, answer = connection.get(f"/jobs/{job_id}")
    taken = time.perf_counter() - began
    if status != 200 or json.loads(answer)["id"] != job_id:
        raise RuntimeError(f"read: status {status}, {answer[:500]!r}")
    return taken


def _alternate(
    count: int, first: Callable[[], float], second: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Return the values of two functions that are called in turns."""
    values: tuple[list[float], list[float]] = ([], [])
    for _ in range(count):
        values[0].append(first())
        values[1].append(second())
    return values


def _p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def _another_provider(
    busy: Server, idle: Server, options: Options, amounts: Amounts
) -> Pair:
    """Return the p99 in seconds of single events while the first server is loaded.

    The events are of another provider than the load. They go to the loaded server and
    to an idle server in turns.
    """
    pair = Pair()
    for _ in range(options.rounds):
        load = _new_load([busy], HEAVY_CONNECTIONS, MAX_BATCH, amounts.heavy_seconds)
        with ExitStack() as stack:
            probes = [
                _probe(server, stack.enter_context(server.connect(server.other)))
                for server in (busy, idle)
            ]
            process = LoadProcess(load)
            time.sleep(1)  # until the load has filled the queues
            until = time.monotonic() + amounts.heavy_seconds - 1
            times: tuple[list[float], list[float]] = ([], [])
            while time.monotonic() < until:
                for probe, taken in zip(probes, times, strict=True):
                    taken.append(probe())
                time.sleep(_PROBE_PAUSE_SECONDS)
            sent = process.result()
        note(f"engine: load of {sent.events:,} events, {sent.refusals:,} refusals")
        pair.add(*map(_p99, times))
    return pair


def _probe(server: Server, connection: Connection) -> Callable[[], float]:
    """Return a function that reports an event of the other provider's new job."""
    [job] = server.new_jobs(1, server.other)
    events, number = JobEvents(job), 0

    def probe() -> float:
        nonlocal number
        number += 1
        return _seconds_of_post(connection, events.event(number))

    return probe


def _two_processes(
    folder: Path, postgres: PostgresServer, options: Options, amounts: Amounts
) -> Pair:
    """Return the events a second of two processes, and of one process."""
    pair = Pair()
    postgres.create_database("processes")
    backend = Backend(folder, postgres.url("processes"))
    with backend.serve() as first, backend.serve() as second:

        def rate(servers: Sequence[Server], seconds: float) -> float:
            load = _new_load(servers, 2 * CONNECTIONS, TWO_PROCESSES_BATCH, seconds)
            sent: Sent = LoadProcess(load).result()
            return sent.events / sent.seconds

        rate([first, second], amounts.warm_up_seconds)
        for _ in range(options.rounds):
            two = rate([first, second], 2 * amounts.load_seconds)
            pair.add(two, rate([first], 2 * amounts.load_seconds))
    return pair


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
    return ratio_of(
        [plain.cpu_each for _, plain in pairs], [ours.cpu_each for ours, _ in pairs]
    )


def _print_costs(costs: dict[tuple[str, int], list[tuple[Cost, Cost]]]) -> None:
    def row(engine: str, size: int, pairs: list[tuple[Cost, Cost]]) -> list[str]:
        ours, plain = zip(*pairs, strict=True)
        return [
            f"{engine}, {size:,}",
            figure(median_of([each.cpu_each for each in ours])),
            figure(median_of([each.cpu_each for each in plain])),
            figure(_ratio(pairs), "x"),
            f"{median_of([each.rate for each in ours]):,.0f}",
            f"{median_of([each.rate for each in plain]):,.0f}",
        ]

    head = (
        *("events a batch", "CPU µs/event", "plain route", "ratio"),
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
        span = f"{figure(min(ratios))} to {figure(max(ratios))}"
        return [title, *sides, f"{figure(pair.ratio, 'x')} ({span})"]

    head = ("case: first / second", "first", "second", "ratio (range)")
    print_table(head, [row(name, pair) for name, pair in cases.items()])


if __name__ == "__main__":
    raise SystemExit(main())
