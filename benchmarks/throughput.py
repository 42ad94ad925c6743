"""Time and CPU for 20,000 events until the backend acknowledges the last event.

Events are reported without pauses; a library that waits for each answer reports 2,000
events. trackerapi has its default limits. trackerapi is also measured with the
project's own backend, which commits events to SQLite before it acknowledges them.

Exit status: 0 all targets are met, 1 a target is missed.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Final

from benchmarks.rig.adapter import Adapter
from benchmarks.rig.adapters import ADAPTERS, OURS, PEERS, own
from benchmarks.rig.places import sink_cpu, worker_cpu
from benchmarks.rig.runs import (
    Options,
    Outcome,
    Task,
    median_of,
    note,
    ratio_of,
    read_options,
    run,
    temporary_folder,
)
from benchmarks.rig.sink import Sink
from benchmarks.rig.tables import NOTHING, Target, conclude, figure, print_table
from demo.backend import DemoBackend, start_backend
from trackerapi import TrackerApi

ROUNDS: Final = 5
EVENTS: Final = 20_000
BLOCKING_EVENTS: Final = 2_000
FLUSH_SECONDS: Final = 20.0
OWN_BACKEND: Final = "trackerapi, own backend"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Result of one round.

    Attributes:
        emitted: Number of reported events.
        arrived: Number of acknowledged events.
        seconds: Time from the first call to the last acknowledgement.
        cpu_seconds: CPU time of all threads of the reporting process.
        requests: Number of requests; None without a count.
    """

    emitted: int
    arrived: int
    seconds: float
    cpu_seconds: float
    requests: int | None = None

    @property
    def rate(self) -> float:
        """Events acknowledged a second."""
        return self.arrived / self.seconds

    @property
    def cpu_each(self) -> float | None:
        """Microseconds of CPU for each event that arrived; None if no event arrived."""
        return self.cpu_seconds / self.arrived * 1e6 if self.arrived else None


Deliveries = dict[str, list[Delivery | None]]


def main() -> int:
    """Measure, print tables, compare with the targets."""
    peers = [peer for peer in PEERS if peer.name != "wandb-offline"]
    options = read_options(__doc__, rounds=ROUNDS, peers=[*peers, own.Spool])
    deliveries: Deliveries = {}
    for turn in range(options.rounds):
        note(f"throughput: round {turn + 1} of {options.rounds}")
        for adapter in options.adapters:
            deliveries.setdefault(adapter.name, []).append(_to_sink(adapter, options))
        deliveries.setdefault(OWN_BACKEND, []).append(_to_own_backend(options))
    status = conclude(_targets(deliveries, options))
    _print_figures(deliveries)
    return status


def _to_sink(adapter: type[Adapter], options: Options) -> Delivery | None:
    events = options.events(BLOCKING_EVENTS if adapter.blocks else EVENTS)
    with Sink() as sink, temporary_folder() as folder:
        outcome = _report(adapter.name, sink.url, folder, events)
        counts = sink.counts()
    if not outcome.results or counts.last_at is None:
        return None
    return Delivery(
        emitted=outcome.results["emitted"],
        arrived=counts.unique,
        seconds=counts.last_at - outcome.results["began"],
        cpu_seconds=outcome.results["cpu"],
        requests=counts.requests,
    )


def _to_own_backend(options: Options) -> Delivery | None:
    with temporary_folder() as folder, _backend(folder / "backend") as backend:
        outbox = folder / "outbox"
        outbox.mkdir()
        outcome = _report(
            OURS,
            backend.base_url,
            outbox,
            options.events(EVENTS),
            BENCH_API_KEY=backend.api_key,
            BENCH_CUSTOMER=str(backend.customer_id),
        )
        with TrackerApi(
            api_key=backend.api_key, base_url=backend.base_url, outbox=folder / "asks"
        ) as tracker:
            arrived = sum(job.event_count for job in tracker.list_jobs())
    if not outcome.results:
        return None
    return Delivery(
        emitted=outcome.results["emitted"],
        arrived=arrived,
        seconds=outcome.results["flushed_at"] - outcome.results["began"],
        cpu_seconds=outcome.results["cpu"],
    )


@contextmanager
def _backend(folder: Path) -> Iterator[DemoBackend]:
    """Run our backend on the core that other measurements use for the sink."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sink_cpu()})  # Child processes inherit the core.
    try:
        with start_backend(folder) as backend:
            os.sched_setaffinity(0, cores)
            yield backend
    finally:
        os.sched_setaffinity(0, cores)


def _report(
    library: str, url: str, folder: Path, events: int, **variables: str
) -> Outcome:
    arguments = {"events": events, "limit": FLUSH_SECONDS, "cpu": worker_cpu()}
    return run(
        Task(
            library=library,
            scenario="throughput",
            url=url,
            folder=folder,
            limit=90.0,
            arguments=arguments,
            environment=variables,
        )
    )


def _targets(deliveries: Deliveries, options: Options) -> list[Target]:
    peers = [name for name in options.libraries if ADAPTERS[name] in PEERS]
    rates = {name: _rates(deliveries[name]) for name in peers}
    cpu = {name: _cpu(deliveries[name]) for name in peers}
    fastest = max(peers, key=lambda name: median_of(rates[name]) or 0.0, default="none")
    thriftiest = min(
        peers, key=lambda name: median_of(cpu[name]) or inf, default="none"
    )

    def rate(name: str) -> float | None:
        return ratio_of(_rates(deliveries[name]), rates.get(fastest, []))

    what = f"acknowledged events a second beside the best peer's ({fastest})"
    return [
        Target(what=what, bound=2.0, measured=rate(OURS), is_minimum=True),
        Target(
            what=f"client CPU an event beside the best peer's ({thriftiest})",
            bound=0.5,
            measured=ratio_of(_cpu(deliveries[OURS]), cpu.get(thriftiest, [])),
        ),
        Target(
            what=f"{what}, ours against our own backend",
            bound=0.75,
            measured=rate(OWN_BACKEND),
            is_minimum=True,
        ),
        *(
            Target(what=f"lost, {name}", bound=0, measured=_lost(runs), unit="events")
            for name, runs in deliveries.items()
            if name in {OURS, OWN_BACKEND}
        ),
    ]


def _rates(runs: Sequence[Delivery | None]) -> list[float | None]:
    return [one.rate if one else None for one in runs]


def _cpu(runs: Sequence[Delivery | None]) -> list[float | None]:
    return [one.cpu_each if one else None for one in runs]


def _lost(runs: list[Delivery | None]) -> float | None:
    if None in runs:
        return None
    return sum(one.emitted - one.arrived for one in runs if one)


def _print_figures(deliveries: Deliveries) -> None:
    def row(name: str, runs: list[Delivery]) -> tuple[str, ...]:
        if not runs:
            return (name, *[NOTHING] * 5)
        rates = [one.rate for one in runs]
        return (
            name,
            figure(median_of([one.emitted for one in runs])),
            figure(median_of([one.arrived for one in runs])),
            f"{median_of(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})",
            figure(median_of([one.cpu_each for one in runs])),
            figure(median_of([one.requests for one in runs])),
        )

    there = {name: [one for one in runs if one] for name, runs in deliveries.items()}
    print_table(
        (
            "library",
            "reported",
            "arrived",
            "events/s (range)",
            "CPU µs/event",
            "requests",
        ),
        [row(name, runs) for name, runs in there.items()],
    )


if __name__ == "__main__":
    raise SystemExit(main())
