"""Runs of worker processes, and the command line of the benchmarks."""

import argparse
import atexit
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.rig.adapter import Adapter
from benchmarks.rig.adapters import ADAPTERS, OURS, PEERS
from benchmarks.rig.places import ROOT, interpreter

QUIET: Final = {
    # Loopback only: a peer must not connect to the servers of its vendor.
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_MODE": "offline",
}
_IGNORED_PREFIXES: Final = (
    "TRACKERAPI_",
    "BENCH_",
    "SENTRY_",
    "POSTHOG_",
    "OTEL_",
    "MLFLOW_",
)
_QUICK_DIVISOR: Final = 50
_MIN_EVENTS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Command line of each measurement.

    Attributes:
        libraries: Libraries to measure, ours first.
        rounds: Number of rounds; tables show medians over the rounds.
        is_quick: Whether to report few events, as a trial; the figures mean nothing.
    """

    libraries: tuple[str, ...]
    rounds: int
    is_quick: bool

    def events(self, count: int) -> int:
        """Return the number of events to report: `count`, or fewer with `is_quick`."""
        return max(_MIN_EVENTS, count // _QUICK_DIVISOR) if self.is_quick else count

    @property
    def adapters(self) -> list[type[Adapter]]:
        """Adapters of the libraries."""
        return [ADAPTERS[name] for name in self.libraries]


def read_options(
    description: str | None,
    *,
    rounds: int,
    peers: Sequence[type[Adapter]] = PEERS,
    argv: Sequence[str] | None = None,
) -> Options:
    """Read the command line; leave out libraries that are not installed.

    From then on SIGTERM ends the benchmark in order, see `end_on_sigterm()`.
    """
    end_on_sigterm()
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=rounds,
        help="number of rounds (default: %(default)s)",
    )
    names = ",".join(peer.name for peer in peers)
    parser.add_argument("--peers", default=names, help="names, separated by commas")
    parser.add_argument(
        "--quick", action="store_true", help="report few events, as a trial"
    )
    given = parser.parse_args(argv)
    wanted = [name for name in given.peers.split(",") if name and name != OURS]
    if unknown := [name for name in wanted if name not in ADAPTERS]:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(ADAPTERS)}")
    there = [name for name in wanted if interpreter(ADAPTERS[name]).exists()]
    if missing := sorted(set(wanted) - set(there)):
        note(f"not installed, run benchmarks/peers.sh first: {', '.join(missing)}")
    return Options(libraries=(OURS, *there), rounds=given.rounds, is_quick=given.quick)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One run of a worker process with one library.

    Attributes:
        library: Name of the adapter.
        scenario: Name of the scenario; see `worker.SCENARIOS`.
        url: Address of the backend.
        folder: Working directory of the worker.
        limit: Seconds after which the worker is killed.
        arguments: Arguments of the scenario; `cpu` pins the worker to a core.
        environment: Additional environment variables.
    """

    library: str
    scenario: str
    url: str
    folder: Path
    limit: float = 60.0
    arguments: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a worker.

    Attributes:
        results: Output of the worker; empty if the worker ended early.
        ended_at: Monotonic time of the end, in seconds.
        is_timed_out: Whether the worker was killed at its time limit.
    """

    results: Mapping[str, Any]
    ended_at: float
    is_timed_out: bool


def run(task: Task) -> Outcome:
    """Run a worker to its end."""
    command = [
        str(interpreter(ADAPTERS[task.library])),
        *("-m", "benchmarks.rig.worker", task.library, task.scenario, task.url),
        json.dumps(task.arguments),
    ]
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=None if os.environ.get("BENCH_STDERR") else subprocess.DEVNULL,
            cwd=task.folder,
            env=environment(task.folder, task.environment),
            start_new_session=True,
        )
        with ended_at_exit(process):
            is_timed_out = not ends_within(process, task.limit)
        ended_at = time.monotonic()
        printed.seek(0)
        lines = [line for line in printed if line.startswith("{")]
    return Outcome(json.loads(lines[-1]) if lines else {}, ended_at, is_timed_out)


def ends_within(process: "subprocess.Popen[Any]", seconds: float) -> bool:
    """Return whether a process ends in time; otherwise, kill its process group."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        _kill_group(process)
        return False
    return True


@contextmanager
def ended_at_exit(process: "subprocess.Popen[Any]") -> Iterator[None]:
    """Kill the process group of a process at the end of the block if it still runs."""
    try:
        yield
    finally:
        if process.poll() is None:
            _kill_group(process)


def _kill_group(process: "subprocess.Popen[Any]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def end_on_sigterm() -> None:
    """Let SIGTERM raise SystemExit, so that the blocks end their child processes."""
    signal.signal(signal.SIGTERM, _exit)
    atexit.register(_kill_children)


def _exit(number: int, _frame: object) -> None:
    # A second signal must not interrupt the blocks while they end.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _kill_children() -> None:
    """Kill the child processes that no block ends: SIGTERM may come at their start."""
    for children in Path("/proc/self/task").glob("*/children"):
        for number in children.read_text().split():
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(int(number), signal.SIGKILL)
                os.waitpid(int(number), 0)


def environment(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of a measured process."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_IGNORED_PREFIXES)
    }
    own = {"BENCH_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    return inherited | QUIET | own | dict(more)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a temporary folder; delete it even while processes still write there."""
    with tempfile.TemporaryDirectory(
        prefix="trackerapi-bench-", ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


@contextmanager
def new_pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a thread pool for parallel measurements, which mostly wait.

    An exception in the block cancels the measurements that have not begun.
    """
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def median_of(values: "Sequence[float | None]") -> float | None:
    """Return the median of the values that are not None; None without such values."""
    there = [value for value in values if value is not None]
    return statistics.median(there) if there else None


def ratio_of(
    ours: "Sequence[float | None]", theirs: "Sequence[float | None]"
) -> float | None:
    """Return the median over the rounds of the ratio of `ours` to `theirs`."""
    return median_of(
        [a / b for a, b in zip(ours, theirs, strict=False) if a is not None and b]
    )


def note(text: str) -> None:
    """Print a message on stderr: stdout has only tables."""
    print(text, file=sys.stderr, flush=True)
