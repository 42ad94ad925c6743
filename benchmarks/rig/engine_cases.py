"""Cases of the backend's engine with one connection: overlap, late events, reads.

Each case compares two sides, which take turns, and returns the values of each round.
"""

import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from benchmarks.rig.load import Connection, JobEvents
from benchmarks.rig.runs import ratio_of
from benchmarks.rig.servers import Server, new_job

MAX_BATCH: Final = 1000
WORKERS: Final = 4
OVERLAP_BATCH: Final = 50
LATE_KINDS: Final = ("start", "progress", "error")
"""Errors come last: after an error, each late event folds the statuses again."""
SHORT_HISTORY: Final = 1_000
SHORT_READ_HISTORY: Final = 100


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
        read_history: Maximum number of events of the long job that is read.
        fill_seconds: Time limit for the events of this job.
        memory_seconds: Duration of each load while the memory is measured.
        many_jobs: Number of jobs of the long list.
    """

    load_seconds: float = 1.5
    warm_up_seconds: float = 0.5
    heavy_seconds: float = 7.0
    overlap_batches: int = 200
    late_events: int = 20
    long_history: int = 100_000
    reads: int = 400
    read_history: int = 1_000_000
    fill_seconds: float = 120.0
    memory_seconds: float = 10.0
    many_jobs: int = 1_000_000


QUICK: Final = Amounts(
    load_seconds=0.5,
    warm_up_seconds=0.2,
    heavy_seconds=3.0,
    overlap_batches=40,
    long_history=20_000,
    reads=100,
    read_history=20_000,
    memory_seconds=4.0,
    many_jobs=20_000,
)


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


def measure_overlap(server: Server, rounds: int, amounts: Amounts) -> Pair:
    """Return the CPU per event of four workers in turns, and of one worker."""
    pair = Pair()
    for _ in range(rounds):
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


def measure_late_events(
    server: Server, rounds: int, amounts: Amounts
) -> dict[str, Pair]:
    """Return the seconds of a late event in a long and in a short history, by kind."""
    cases = {f"late {kind}": Pair() for kind in LATE_KINDS}
    with server.connect() as connection:
        long = new_history(server, connection, amounts.long_history)
        short = new_history(server, connection, SHORT_HISTORY)
        sent = 0
        for kind in LATE_KINDS:
            for _ in range(rounds):
                times: tuple[list[float], list[float]] = ([], [])
                for _ in range(amounts.late_events):
                    sent += 1
                    for history, taken in zip((long, short), times, strict=True):
                        body = history.late_event(sent, kind)
                        taken.append(seconds_of_post(connection, body))
                cases[f"late {kind}"].add(*map(statistics.median, times))
    return cases


@dataclass(frozen=True, slots=True)
class History:
    """A job with events.

    Attributes:
        id: Id of the job.
        events: Events of the job.
        count: Number of stored events.
    """

    id: int
    events: JobEvents
    count: int

    def late_event(self, number: int, kind: str) -> bytes:
        """Return a late event; a number has the same place within each history."""
        at = self.count * (0.25 + number % 97 / 200)
        return self.events.event(self.count + number, at=at, kind=kind)


def new_history(
    server: Server, connection: Connection, count: int, limit: float = math.inf
) -> History:
    """Create a job with events.

    Args:
        server: Server of the connection.
        connection: Connection that sends the events.
        count: Number of events.
        limit: Seconds after which no further events are sent.
    """
    events = JobEvents(f"history-{count}-{time.time_ns()}")
    job_id = new_job(connection, events.job, server.account)
    sent, until = 0, time.monotonic() + limit
    while sent < count and time.monotonic() < until:
        numbers = range(sent, min(sent + MAX_BATCH, count))
        connection.post_batch([events.event(n) for n in numbers], is_array=False)
        sent = numbers.stop
    return History(job_id, events, sent)


def seconds_of_post(connection: Connection, event: bytes) -> float:
    """Report an event; return the time until the answer, in seconds."""
    began = time.perf_counter()
    status, answer = connection.post("/events", event)
    taken = time.perf_counter() - began
    if status != 201:
        raise RuntimeError(f"event: status {status}, {answer[:500]!r}")
    return taken


def measure_reads(
    server: Server, rounds: int, amounts: Amounts
) -> tuple[Pair, Pair, int]:
    """Measure the reads of a job and of its page, with a long and a short history.

    Returns:
        The p99 of a read in seconds, the p50 of a page in seconds, and the number of
        events of the long history.
    """
    reads, pages = Pair(), Pair()
    with server.connect() as connection:
        long = new_history(
            server, connection, amounts.read_history, amounts.fill_seconds
        )
        short = new_history(server, connection, SHORT_READ_HISTORY)
        paths = [f"/jobs/{history.id}" for history in (long, short)]
        links = [_new_share_link(connection, path) for path in paths]
        for _ in range(rounds):
            reads.add(*map(p99, _times_of_gets(connection, paths, amounts.reads)))
            times = _times_of_gets(connection, links, amounts.reads)
            pages.add(*map(statistics.median, times))
    return reads, pages, long.count


def _new_share_link(connection: Connection, job: str) -> str:
    """Return the path of the customer's page of a job."""
    status, answer = connection.post(f"{job}/share-links", b"{}")
    if status != 201:
        raise RuntimeError(f"share link: status {status}, {answer[:500]!r}")
    return str(urlsplit(json.loads(answer)["url"]).path)


def _times_of_gets(
    connection: Connection, paths: Sequence[str], count: int
) -> tuple[list[float], list[float]]:
    first, second = paths
    return alternate(
        count,
        lambda: seconds_of_get(connection, first),
        lambda: seconds_of_get(connection, second),
    )


def seconds_of_get(connection: Connection, path: str) -> float:
    """Request a path; return the time until the answer, in seconds."""
    began = time.perf_counter()
    status, answer = connection.get(path)
    taken = time.perf_counter() - began
    if status != 200:
        raise RuntimeError(f"GET {path}: status {status}, {answer[:500]!r}")
    return taken


def alternate(
    count: int, first: Callable[[], float], second: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Return the values of two functions that are called in turns."""
    values: tuple[list[float], list[float]] = ([], [])
    for _ in range(count):
        values[0].append(first())
        values[1].append(second())
    return values


def p99(values: Sequence[float]) -> float:
    """Return the 99th percentile."""
    return statistics.quantiles(values, n=100, method="inclusive")[98]
