"""Worker process: reports with one library, and prints the measurements.

Usage: python -m benchmarks.rig.worker LIBRARY SCENARIO URL OPTIONS, with OPTIONS as a
JSON object of the scenario's arguments. Most scenarios print one JSON object. The
environment variable `BENCH_DIR` names the folder in which the library keeps its files.
"""

import gc
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.rig.adapter import Adapter, marker
from benchmarks.rig.adapters import ADAPTERS

WARM_UP, CALLS, THROUGHPUT, LEAVE, OUTAGE, KILLED, PARENT, CHILD, MEMORY = range(1, 10)
"""Numbers of the runs, as part of the markers of their events."""


class Emission:
    """Measurements of successive calls of `Adapter.emit()`.

    Attributes:
        nanoseconds: Duration of each call, in nanoseconds.
        errors: Number of calls that raised.
    """

    def __init__(self) -> None:
        self.nanoseconds: list[int] = []
        self.errors = 0

    def as_members(self) -> dict[str, Any]:
        """Return the counts of calls and errors, and quantiles in nanoseconds."""
        ordered = sorted(self.nanoseconds)
        size = len(ordered)
        return {
            "emitted": size,
            "errors": self.errors,
            "p50": ordered[size // 2],
            "p99": ordered[min(size - 1, size * 99 // 100)],
        }


def emit(
    adapter: Adapter, run: int, events: int, *, gap: float = 0.0, limit: float = 60.0
) -> Emission:
    """Report `events` events, `gap` seconds apart; stop after `limit` seconds."""
    emission = Emission()
    end = time.monotonic() + limit
    for index in range(events):
        nanoseconds, raised = _timed(adapter.emit, marker(run, index))
        emission.nanoseconds.append(nanoseconds)
        emission.errors += raised
        if gap:
            time.sleep(gap)
        if time.monotonic() > end:
            break
    return emission


def _timed(call: Callable[[str], None], argument: str) -> tuple[int, bool]:
    clock = time.perf_counter_ns
    began = clock()
    try:
        call(argument)
    except Exception:  # noqa: BLE001 - a library may raise anything
        return clock() - began, True
    return clock() - began, False


def calls(
    adapter: Adapter, events: int, gap: float, limit: float, warm_up: int = 5
) -> None:
    """Report events, and print the quantiles of the duration of a call."""
    emit(adapter, WARM_UP, warm_up, gap=gap, limit=limit)
    gc.collect()
    print_results(**emit(adapter, CALLS, events, gap=gap, limit=limit).as_members())
    os._exit(0)


def throughput(adapter: Adapter, events: int, limit: float) -> None:
    """Report as fast as possible, then wait for the delivery."""
    began, cpu = time.monotonic(), time.process_time()
    emission = emit(adapter, THROUGHPUT, events, limit=limit)
    emitted = time.monotonic()
    _flush(adapter, limit)
    flushed = time.monotonic()
    cpu = time.process_time() - cpu
    print_results(
        began=began,
        emitted_at=emitted,
        flushed_at=flushed,
        cpu=cpu,
        **emission.as_members(),
    )
    os._exit(0)


def leave(adapter: Adapter, events: int) -> None:
    """Report, and let the program end without flush or close."""
    emission = emit(adapter, LEAVE, events, limit=5.0)
    print_results(left_at=time.monotonic(), **emission.as_members())


def outage(adapter: Adapter, events: int, gap: float, wait: float) -> None:
    """Report while the backend fails, then wait for the delivery."""
    emission = emit(adapter, OUTAGE, events, gap=gap)
    _flush(adapter, wait)
    _within(adapter.close, 5.0)
    print_results(**emission.as_members())
    os._exit(0)


def kill(adapter: Adapter, events: int) -> None:
    """Report, and end by SIGKILL after the last call."""
    emit(adapter, KILLED, events, limit=20.0)
    os.kill(os.getpid(), signal.SIGKILL)


def recover(adapter: Adapter, wait: float) -> None:
    """Report nothing; deliver the events of an earlier process in the same folder."""
    time.sleep(wait)
    _leave_orderly(adapter)


def fork(adapter: Adapter, events: int, wait: float) -> None:
    """Report in a parent and in its child; the child ends by `os._exit()`."""
    emit(adapter, PARENT, events)
    child = os.fork()
    if child == 0:
        emit(adapter, CHILD, events, limit=wait)
        time.sleep(wait)
        os._exit(0)
    hung = not _ended_within(child, 2 * wait + 5.0)
    if hung:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    print_results(child_hung=hung)
    _leave_orderly(adapter)


def memory(adapter: Adapter, events: int, limit: float) -> None:
    """Report events that cannot be delivered, and print the growth of the memory."""
    emit(adapter, WARM_UP, 5)
    before = _memory_bytes("VmRSS")
    emitted, end = 0, time.monotonic() + limit
    for index in count():
        if index == events or time.monotonic() > end:
            break
        with suppress(Exception):
            adapter.emit(marker(MEMORY, index))
        emitted += 1
    # Wait: the delivery thread may still allocate memory.
    time.sleep(3.0)
    print_results(
        emitted=emitted,
        grown_bytes=_memory_bytes("VmRSS") - before,
        peak_grown_bytes=_memory_bytes("VmHWM") - before,
    )
    os._exit(0)


SCENARIOS: dict[str, Callable[..., None]] = {
    scenario.__name__: scenario
    for scenario in (calls, throughput, leave, outage, kill, recover, fork, memory)
}


def print_results(**members: Any) -> None:
    """Print measurements as a JSON object."""
    print(json.dumps(members), flush=True)


def _flush(adapter: Adapter, seconds: float) -> None:
    _within(lambda: adapter.flush(seconds), seconds)


def _leave_orderly(adapter: Adapter) -> None:
    _flush(adapter, 6.0)
    _within(adapter.close, 6.0)
    os._exit(0)


def _within(call: Callable[[], None], seconds: float) -> None:
    """Run `call` in a thread; return after `seconds` even if `call` still runs."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)


def _ended_within(child: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.05)
    return False


def _memory_bytes(line: str) -> int:
    """Return the value of a line of `/proc/self/status`, in bytes."""
    status = Path("/proc/self/status").read_text().splitlines()
    found = next(each for each in status if each.startswith(line))
    return int(found.split()[1]) * 1024


def main() -> None:
    """Create the adapter of the library, and run the scenario."""
    library, scenario, url, options = sys.argv[1:5]
    arguments = json.loads(options)
    logging.disable(logging.CRITICAL)
    if (cpu := arguments.pop("cpu", None)) is not None:
        os.sched_setaffinity(0, {cpu})
    SCENARIOS[scenario](ADAPTERS[library](url), **arguments)


if __name__ == "__main__":
    main()
