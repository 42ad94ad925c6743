"""Cases of the backend's engine with loads of many connections.

The cases measure memory, another provider beside a load, and the rate of two processes.
"""

import itertools
import resource
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.rig.engine_cases import (
    LATE_KINDS,
    MAX_BATCH,
    SHORT_HISTORY,
    Amounts,
    History,
    Pair,
    new_history,
    p99,
    seconds_of_post,
)
from benchmarks.rig.load import Connection, JobEvents, Load, LoadProcess
from benchmarks.rig.runs import note
from benchmarks.rig.servers import Account, Backend, Server, cpu_seconds
from scripts.postgres_server import PostgresServer

CONNECTIONS: Final = 16
HEAVY_CONNECTIONS: Final = 64
TWO_PROCESSES_BATCH: Final = 50
MESSAGE_LENGTHS: Final = {"usual batches": 0, "batches near 1 MB": 550}
LATE_TURNS: Final = 4
_LATE_PAUSE_SECONDS: Final = 0.03
_PROBE_PAUSE_SECONDS: Final = 0.005


def new_load(
    servers: Sequence[Server],
    connections: int,
    size: int,
    seconds: float,
    *,
    account: Account | None = None,
    message_length: int = 0,
) -> Load:
    """Return a load with a new job for each connection.

    Args:
        servers: Servers of one database.
        connections: Number of connections.
        size: Number of events in a batch.
        seconds: Duration.
        account: Provider that sends the load; None for the first one.
        message_length: Length of the message of each event.
    """
    account = account or servers[0].account
    return Load(
        urls=[server.url for server in servers],
        key=account.key,
        jobs=servers[0].new_jobs(connections, account),
        size=size,
        seconds=seconds,
        message_length=message_length,
    )


def measure_memory(folder: Path, amounts: Amounts) -> dict[str, float]:
    """Return the maximum memory of a server in bytes, by the name of the load.

    Half of the connections are of another provider: one provider fills only half of
    the queues.
    """
    maxima: dict[str, float] = {}
    for number, (name, length) in enumerate(MESSAGE_LENGTHS.items()):
        with Backend(folder / f"memory-{number}").serve() as server:
            loads = [
                new_load(
                    [server],
                    HEAVY_CONNECTIONS // 2,
                    MAX_BATCH,
                    amounts.memory_seconds,
                    account=account,
                    message_length=length,
                )
                for account in (server.account, server.other)
            ]
            with ExitStack() as stack:
                for process in [stack.enter_context(LoadProcess(x)) for x in loads]:
                    process.result()
            maxima[name] = server.max_memory_bytes()
    return maxima


def measure_provider(busy: Server, idle: Server, rounds: int, amounts: Amounts) -> Pair:
    """Return the p99 in seconds of single events while the first server is loaded.

    The events are of another provider than the load. They go to the loaded server and
    to an idle server in turns.
    """
    pair = Pair()
    for _ in range(rounds):
        load = new_load([busy], HEAVY_CONNECTIONS, MAX_BATCH, amounts.heavy_seconds)
        with ExitStack() as stack:
            probes = [
                _probe(server, stack.enter_context(server.connect(server.other)))
                for server in (busy, idle)
            ]
            process = stack.enter_context(LoadProcess(load))
            time.sleep(1)  # until the load has filled the queues
            until = time.monotonic() + amounts.heavy_seconds - 1
            times: tuple[list[float], list[float]] = ([], [])
            while time.monotonic() < until:
                for probe, taken in zip(probes, times, strict=True):
                    taken.append(probe())
                time.sleep(_PROBE_PAUSE_SECONDS)
            sent = process.result()
        note(f"engine: load of {sent.events:,} events, {sent.refusals:,} refusals")
        pair.add(*map(p99, times))
    return pair


def measure_beside_late_events(server: Server, rounds: int, amounts: Amounts) -> Pair:
    """Return the p99 in seconds of events beside late events of another provider.

    The late events are those of a long and of a short history.
    """
    pair = Pair()
    with server.connect() as sender, server.connect(server.other) as other:
        counts = (amounts.long_history, SHORT_HISTORY)
        long, short = [new_history(server, sender, count) for count in counts]
        probe, numbers = _probe(server, other), itertools.count()
        for _ in range(rounds):
            times: tuple[list[float], list[float]] = ([], [])
            # Both sides take turns, so that a change of the machine concerns both.
            for _ in range(LATE_TURNS):
                for history, taken in zip((long, short), times, strict=True):
                    with _late_events(sender, history, numbers):
                        taken += [
                            probe() for _ in range(amounts.reads // 2 // LATE_TURNS)
                        ]
            pair.add(*map(p99, times))
    return pair


@contextmanager
def _late_events(
    connection: Connection, history: History, numbers: Iterator[int]
) -> Iterator[None]:
    """Report late events of a history, a few at a time, during the block."""
    is_over = threading.Event()

    def report() -> None:
        # Each late event after an error reads all events that can change a status. The
        # pauses keep their number small.
        while not is_over.wait(_LATE_PAUSE_SECONDS):
            number = next(numbers)
            kind = LATE_KINDS[number % len(LATE_KINDS)]
            seconds_of_post(connection, history.late_event(number, kind))

    with ThreadPoolExecutor(1) as pool:
        reporter = pool.submit(report)
        try:
            yield
        finally:
            is_over.set()
        reporter.result()


def _probe(server: Server, connection: Connection) -> Callable[[], float]:
    """Return a function that reports an event of the other provider's new job."""
    [job] = server.new_jobs(1, server.other)
    events, number = JobEvents(job), 0

    def probe() -> float:
        nonlocal number
        number += 1
        return seconds_of_post(connection, events.event(number))

    return probe


def measure_processes(
    backend: Backend, postgres: PostgresServer, rounds: int, amounts: Amounts
) -> tuple[Pair, dict[str, float]]:
    """Measure two processes beside one.

    Returns:
        The events a second of two processes, and of one process; and the cores in use
        while two processes store events, by user: "backend", "PostgreSQL" and "sender".
    """
    pair, seconds = Pair(), amounts.heavy_seconds
    cores: list[dict[str, float]] = []
    with backend.serve() as first, backend.serve() as second:

        def rate(servers: Sequence[Server], seconds: float) -> float:
            load = new_load(servers, 2 * CONNECTIONS, TWO_PROCESSES_BATCH, seconds)
            with LoadProcess(load) as process:
                sent = process.result()
            return sent.events / sent.seconds

        def cpu_by_user() -> dict[str, float]:
            sender = resource.getrusage(resource.RUSAGE_CHILDREN)
            return {
                "backend": first.cpu_seconds() + second.cpu_seconds(),
                "PostgreSQL": sum(map(cpu_seconds, postgres.pids())),
                "sender": sender.ru_utime + sender.ru_stime,
            }

        rate([first, second], amounts.warm_up_seconds)
        for _ in range(rounds):
            began, before = time.monotonic(), cpu_by_user()
            two = rate([first, second], seconds)
            taken, after = time.monotonic() - began, cpu_by_user()
            cores.append({name: (after[name] - before[name]) / taken for name in after})
            pair.add(two, rate([first], seconds))
    return pair, {
        name: statistics.median(each[name] for each in cores) for name in cores[0]
    }
