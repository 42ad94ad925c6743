"""Proof by faults and kills: no event is lost, and no event is stored twice.

Runs the fault tests with outages of full length. Kills the backend on each engine while
it receives events: it must have stored each acknowledged event exactly once. Kills a
job and a `trackerapi sync` at each of their write-like system calls in turn, and kills
jobs at random times. After each kill, a sync or a rerun must deliver the events of all
calls that had returned, each event exactly once.

Exit status: 0 no part failed, 1 a part failed, 2 wrong usage.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from demo.backend import start_backend
from scripts.project import ROOT
from scripts.proving import tracer
from scripts.proving.kills import KillSetup
from scripts.proving.proof import OutcomeCounts, Proof, new_seed

FAULTS: Final = "faults"
BACKEND: Final = "backend"
KILLS: Final = ("job", "sync", "random")
RANDOM_KILLS: Final = 1000
BACKEND_KILLS: Final = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Run the proof; return the exit status."""
    options = build_parser().parse_args(argv)
    parts = options.only or [FAULTS, BACKEND, *KILLS]
    failed = [] if FAULTS not in parts or run_fault_tests() else [FAULTS]
    if BACKEND in parts and not kill_backends(options.backend_kills):
        failed.append(BACKEND)
    failed += run_kills([part for part in KILLS if part in parts], options)
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
        return 1
    print("All parts passed: 0 lost, 0 doubled")
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/prove.sh",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=(FAULTS, BACKEND, *KILLS),
        help="run only this part; may be repeated",
    )
    parser.add_argument(
        "--sample",
        type=count,
        metavar="N",
        help="kill at N calls of the job and of a sync, instead of at each call",
    )
    parser.add_argument(
        "--random",
        type=count,
        default=RANDOM_KILLS,
        metavar="N",
        help="number of kills at random times (default: %(default)s)",
    )
    parser.add_argument(
        "--backend-kills",
        type=count,
        default=BACKEND_KILLS,
        metavar="N",
        help="number of kills of the backend on each engine (default: %(default)s)",
    )
    parser.add_argument(
        "--lanes",
        type=count,
        default=os.cpu_count() or 1,
        metavar="N",
        help="number of parallel kills (default: one per processor, %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, help="seed of the random times, to repeat a run"
    )
    return parser


def count(text: str) -> int:
    """Return the number of a text; raise for a number below 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def run_fault_tests() -> bool:
    """Run the fault tests with outages of full length; return whether all pass."""
    print("== Faults, with outages of 10 and 30 s", flush=True)
    ignored = ("--ignore", "tests/faults/test_kills.py")
    return _run_tests("tests/faults", *ignored, WHOLE_OUTAGES="1")


def kill_backends(kills: int) -> bool:
    """Kill the backend during ingest on each engine; return whether all tests pass."""
    print(f"== The backend, during ingest: {kills} kills on each engine", flush=True)
    tests = ("backend/tests/test_faults.py", "-k", "killed")
    return _run_tests(*tests, KILL_ROUNDS=str(kills))


def _run_tests(*arguments: str, **variables: str) -> bool:
    command = [sys.executable, "-m", "pytest", *arguments]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    return done.returncode == 0


def run_kills(parts: Sequence[str], options: argparse.Namespace) -> list[str]:
    """Run the kills of some parts, such as `sync`; return the parts with a fault."""
    if not parts:
        return []
    if not tracer.is_possible():
        print("Kills need Linux on x86-64 or AArch64")
        return list(parts)
    folder = Path(tempfile.mkdtemp(prefix="trackerapi-prove-"))
    with start_backend(folder / "backend") as backend:
        setup = KillSetup(backend.base_url, backend.api_key, folder)
        with setup.tracker() as tracker:
            proof = Proof(setup, tracker, options.lanes)
            failed = [
                part for part in parts if not _run_of(proof, options)[part]().finish()
            ]
    if not failed:
        shutil.rmtree(folder)
    return failed


def _run_of(
    proof: Proof, options: argparse.Namespace
) -> dict[str, Callable[[], OutcomeCounts]]:
    seed = new_seed() if options.seed is None else options.seed
    return {
        "job": lambda: proof.kill_job_at_calls(options.sample),
        "sync": lambda: proof.kill_sync_at_calls(options.sample),
        "random": lambda: proof.kill_at_random(options.random, seed),
    }


if __name__ == "__main__":
    raise SystemExit(main())
