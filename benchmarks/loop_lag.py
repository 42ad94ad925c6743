"""Delay of an event loop by the reports of a job.

A task wakes up each millisecond, and records its longest delay. In the same loop, a job
is created, reports 400 times from blocks, loops and a deep traceback, and is closed.
The process has real-time priority if the system allows it, so that other processes do
not delay the loop. The row `a thread that computes` uses no tracking: a computing
thread alone delays a loop by 5 ms, after which Python switches to another thread.

Exit status: 0 the target is met, 1 the target is missed.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from benchmarks.rig.runs import (
    environment,
    median_of,
    note,
    read_options,
    temporary_folder,
)
from benchmarks.rig.sink import Sink
from benchmarks.rig.tables import Target, conclude, print_table
from trackerapi import AsyncTrackerApi, TrackerApi, current_job

ROUNDS: Final = 5
BOUND_MS: Final = 5.0
REPORTS: Final = 200
REAL_TIME_PRIORITY: Final = 5
SERVERS: Final[dict[str, Callable[[Sink], None]]] = {
    "healthy": lambda sink: sink.set(),
    "down": lambda sink: sink.down(),
    "never answers": lambda sink: sink.set(hang=True),
}


class Mistake(Exception):
    """Raised by the measured job."""


def main() -> int:
    """Measure, print a table, compare with the target."""
    if sys.argv[1:2] == ["measure"]:
        print(json.dumps(asyncio.run(_worst_lag_ms(*sys.argv[2:]))))
        return 0
    options = read_options(__doc__, rounds=ROUNDS, peers=())
    lags: dict[tuple[str, str], list[float]] = {}
    for turn in range(options.rounds):
        note(f"loop_lag: round {turn + 1} of {options.rounds}")
        for what in ("nothing", "thread"):
            lags.setdefault((what, ""), []).append(_measure(what, "healthy"))
        for server in SERVERS:
            for what in ("async", "fsync", "decorated", "blocking"):
                lags.setdefault((what, server), []).append(_measure(what, server))
    ours = [max(each) for (what, _), each in lags.items() if what in OURS]
    status = conclude(
        [
            Target(
                what="longest standstill of a loop that reports, in any round",
                bound=BOUND_MS,
                measured=max(ours),
                unit="ms",
            )
        ]
    )
    _print_figures(lags)
    return status


def _print_figures(lags: dict[tuple[str, str], list[float]]) -> None:
    def cell(what: str, server: str) -> str:
        each = lags[what, server]
        return f"{median_of(each):.1f} / {max(each):.1f}"

    rows = [
        (title, *(cell(what, server) for server in SERVERS))
        for what, title in (
            OURS | {"blocking": "TrackerApi called in the loop"}
        ).items()
    ]
    print_table(("ms, median / worst of the rounds", *SERVERS), rows)
    print_table(
        ("without tracking", "ms"),
        [
            ("ticks alone", cell("nothing", "")),
            ("a thread that computes", cell("thread", "")),
        ],
    )


def _measure(what: str, server: str) -> float:
    with Sink(is_pinned=False) as sink, temporary_folder() as folder:
        SERVERS[server](sink)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.loop_lag", "measure", what, sink.url],
            cwd=folder,
            env=environment(folder, {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        )
    return float(json.loads(done.stdout))


async def _worst_lag_ms(what: str, url: str) -> float:
    """Run one workload beside the ticks; return the longest delay of a tick."""
    with suppress(AttributeError, OSError):  # Unknown to this system, or not allowed.
        priority = os.sched_param(REAL_TIME_PRIORITY)
        os.sched_setscheduler(0, os.SCHED_FIFO, priority)
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            worst = max(worst, time.perf_counter() - before - 0.001)

    ticks = asyncio.create_task(tick())
    await asyncio.sleep(0.1)
    worst = 0.0
    await WORKLOADS[what](url)
    await asyncio.sleep(0.5)  # Background work is measured too.
    ticks.cancel()
    return 1000 * worst


async def _nothing(_: str) -> None:
    await asyncio.sleep(0.5)


async def _thread(_: str) -> None:
    def compute() -> None:
        ends = time.perf_counter() + 0.5
        while time.perf_counter() < ends:
            pass

    await asyncio.to_thread(compute)


async def _async(url: str, **options: Any) -> None:
    tracker = AsyncTrackerApi("key", url, outbox=Path("outbox"), **options)
    async with tracker, tracker.run_job("one", 142, "tag") as job:
        async with job.step("load", total=REPORTS) as load:
            for _ in range(REPORTS):
                await load.advance()
                await load.note("words")
                await load.detail("words", host="a")
        async for _ in job.track(range(1000), step="segment"):
            await asyncio.sleep(0)
        with suppress(Mistake):
            async with job.step("report"):
                _fail(900)


async def _fsync(url: str) -> None:
    await _async(url, fsync=True)


async def _decorated(url: str) -> None:
    """Run coroutine functions that a TrackerApi has decorated."""
    tracker = TrackerApi("trk_key_secret_check", url, outbox=Path("outbox"))

    @tracker.as_job("tag", provider_job_id="one", customer_id=142)
    async def pipeline() -> None:
        for number in range(REPORTS):
            async for _ in current_job().track([1], step=f"step-{number}"):
                await asyncio.sleep(0)
        _fail(900)

    with suppress(Mistake):
        await pipeline()
    await asyncio.to_thread(tracker.close)


async def _blocking(url: str) -> None:
    tracker = TrackerApi("key", url, outbox=Path("outbox"))
    with tracker, tracker.run_job("one", 142, "tag") as job, job.step("load") as load:
        for _ in range(REPORTS):
            load.note("words")
            await asyncio.sleep(0)


def _fail(depth: int) -> None:
    if depth:
        _fail(depth - 1)
    raise Mistake


OURS: Final = {
    "async": "AsyncTrackerApi",
    "fsync": "AsyncTrackerApi, `fsync`",
    "decorated": "decorated coroutine functions",
}
WORKLOADS: Final[dict[str, Callable[[str], Awaitable[None]]]] = {
    "nothing": _nothing,
    "thread": _thread,
    "async": _async,
    "fsync": _fsync,
    "decorated": _decorated,
    "blocking": _blocking,
}


if __name__ == "__main__":
    raise SystemExit(main())
