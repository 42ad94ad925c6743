"""Duration of the parts of a durable call on this machine, and of `send_event()`.

Each part is measured in a burst of calls. `json + one write` is the minimum for a
library that writes each event to the disk. The durations of `fsync` and SQLite show why
trackerapi appends a line instead.

Exit status: 0.
"""

import json
import os
import socket
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final
from zlib import compress

from benchmarks.rig.adapter import META, marker
from benchmarks.rig.adapters import OURS
from benchmarks.rig.places import worker_cpu
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
from benchmarks.rig.tables import figure, microseconds, print_table

ROUNDS: Final = 5
LIMIT: Final = "json + one write"
OUR_CALL: Final = "`send_event`"
EVENT: Final = {
    "event_id": "0192d3c4-7a10-7c3e-9d55-0f6a3b1c2d3e",
    "provider_job_id": "bench-1",
    "kind": "info",
    "tag": "step",
    "occurred_at": "2026-11-25T01:00:00.123456Z",
    "event_metadata": {"id": marker(9, 0), **META},
}
Part = tuple[str, Callable[[], object], int]
"""Name of the part, the call, and the number of calls."""


def main() -> int:
    """Measure and print a table."""
    options = read_options(__doc__, rounds=ROUNDS, peers=())
    figures: dict[str, list[tuple[float, float]]] = {}
    cores = os.sched_getaffinity(0)
    for turn in range(options.rounds):
        note(f"physical_limit: round {turn + 1} of {options.rounds}")
        with Sink() as sink, temporary_folder() as folder:
            os.sched_setaffinity(0, {worker_cpu()})
            for name, call, times in _parts(folder, sink.url):
                quantiles = _measure(call, options.events(times))
                figures.setdefault(name, []).append(quantiles)
            os.sched_setaffinity(0, cores)
            figures.setdefault(OUR_CALL, []).append(_our_call(sink, folder, options))
    medians = {
        name: median_of([p50 for p50, _ in each]) for name, each in figures.items()
    }
    floor = medians[LIMIT] or 1.0
    rows = [
        (
            name,
            microseconds(p50),
            microseconds(median_of([p99 for _, p99 in figures[name]])),
            figure(p50 / floor if p50 else None, "x"),
        )
        for name, p50 in medians.items()
    ]
    print_table(("one call", "p50, µs", "p99, µs", f"beside {LIMIT}"), rows)
    return 0


def _our_call(sink: Sink, folder: Path, options: Options) -> tuple[float, float]:
    arguments = {"events": options.events(2000), "gap": 0.0, "limit": 4.0}
    results = run(
        Task(
            library=OURS,
            scenario="calls",
            url=sink.url,
            folder=folder,
            arguments={**arguments, "cpu": worker_cpu()},
        )
    ).results
    return results["p50"], results["p99"]


def _measure(call: Callable[[], object], times: int) -> tuple[float, float]:
    clock, taken = time.perf_counter_ns, []
    for _ in range(times):
        began = clock()
        call()
        taken.append(clock() - began)
    taken.sort()
    return taken[times // 2], taken[times * 99 // 100]


def _parts(folder: Path, url: str) -> Iterator[Part]:
    yield from _appending(folder)
    yield from _databases(folder)
    yield from _requests(url)


def _appending(folder: Path) -> Iterator[Part]:
    encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
    line = encode(EVENT).encode() + b"\n"
    waiting: deque[bytes] = deque()
    flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND
    file = os.open(folder / "appended", flags, 0o600)

    def write_and_queue() -> None:
        appended = encode(EVENT).encode() + b"\n"
        os.write(file, appended)
        waiting.append(appended)

    def write_and_sync() -> None:
        os.write(file, line)
        os.fsync(file)

    yield "json", lambda: encode(EVENT), 20_000
    yield "one write", lambda: os.write(file, line), 20_000
    yield LIMIT, lambda: os.write(file, encode(EVENT).encode() + b"\n"), 20_000
    yield "json + one write + queue for a thread", write_and_queue, 20_000
    yield "one write + fsync", write_and_sync, 300
    os.close(file)


def _databases(folder: Path) -> Iterator[Part]:
    row = ("x" * 32, json.dumps(EVENT))
    for mode, synchronous, times in (("wal", "normal", 10_000), ("wal", "full", 300)):
        name = f"{mode}-{synchronous}"
        path = folder / name
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(f"pragma journal_mode={mode}")
            db.execute(f"pragma synchronous={synchronous}")
            db.execute("create table outbox(id text, line text)")
            insert = "insert into outbox values(?, ?)"
            yield f"SQLite insert, {name}", lambda: db.execute(insert, row), times  # noqa: B023


def _requests(url: str) -> Iterator[Part]:
    """Yield requests over one open socket, without a library: the minimum of HTTP."""
    host, _, port = url.removeprefix("http://").partition(":")
    line = json.dumps(EVENT).encode() + b"\n"
    with socket.create_connection((host, int(port))) as connection:

        def post(body: bytes) -> None:
            head = b"POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
            connection.sendall(head % len(body) + body)
            connection.recv(65536)

        yield "bare request, 1 event", lambda: post(line), 2000
        yield "bare request, 100 events", lambda: post(line * 100), 300
        yield "bare request, 500 events", lambda: post(line * 500), 200
    yield "gzip of 500 events, level 1", lambda: compress(line * 500, 1), 200


if __name__ == "__main__":
    raise SystemExit(main())
