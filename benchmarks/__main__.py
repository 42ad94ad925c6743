"""Run all benchmarks, or some, and write their tables into benchmarks/README.md.

    python -m benchmarks                    all benchmarks; about an hour
    python -m benchmarks loss do_no_harm    two benchmarks; other tables stay
    python -m benchmarks --quick            few events; writes no tables

Other arguments, such as `--rounds 3`, are passed to each benchmark.

Exit status: 0 all targets are met, 1 a target is missed, 2 wrong usage.
"""

import argparse
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from benchmarks.rig.places import ROOT
from benchmarks.rig.runs import end_on_sigterm, note

README: Final = ROOT / "benchmarks/README.md"
BENCHMARKS: Final = (
    "import_time",
    "run_command",
    "physical_limit",
    "emit_cost",
    "loop_cost",
    "loop_lag",
    "throughput",
    "memory",
    "exit_delay",
    "do_no_harm",
    "loss",
    "engine",
    "viewers",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks and write their tables; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("benchmarks", nargs="*", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="few events, one round")
    options, more = parser.parse_known_args(argv)
    end_on_sigterm()
    if unknown := [name for name in options.benchmarks if name not in BENCHMARKS]:
        parser.error(f"no such benchmark: {', '.join(unknown)}")
    if options.quick:
        more = ["--quick", "--rounds", "1", *more]
    missed = []
    for name in options.benchmarks or BENCHMARKS:
        began = time.monotonic()
        status, answer = run_benchmark(name, more)
        note(f"{name}: exit status {status}, {time.monotonic() - began:.0f} s")
        print(f"## {name}\n\n{answer}", flush=True)
        if status:
            missed.append(name)
        if not options.quick:
            write_tables(name, answer)
    if missed:
        note(f"Missed: {', '.join(missed)}")
    return 1 if missed else 0


def run_benchmark(benchmark: str, arguments: Sequence[str]) -> tuple[int, str]:
    """Run one benchmark; return its exit status and its tables."""
    with subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{benchmark}", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            tables, _ = process.communicate()
        except BaseException:
            process.terminate()  # The benchmark ends its own child processes.
            raise
    return process.returncode, tables


def write_tables(benchmark: str, tables: str) -> None:
    """Write the tables of a benchmark between its markers in benchmarks/README.md.

    Without tables, do nothing.
    """
    if not tables:
        return
    python, now = platform.python_version(), datetime.now(UTC)
    stamp = f"Measured {now:%Y-%m-%d}, CPython {python}, {platform.machine()}."
    begin, end = f"<!-- {benchmark} -->", f"<!-- /{benchmark} -->"
    text = README.read_text(encoding="utf-8")
    between = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    section = f"{begin}\n{stamp}\n\n{tables.strip()}\n{end}"
    README.write_text(between.sub(lambda _: section, text), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
