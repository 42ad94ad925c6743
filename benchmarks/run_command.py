"""Time that `trackerapi run` adds to a command, and time of a bare interpreter.

The command is `true`, which does nothing: all measured time is added time. The commands
take turns in each round, so that a change in the speed of the machine affects all
commands.

Exit status: 0 the target is met, 1 the target is missed.
"""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.rig.runs import (
    Options,
    environment,
    median_of,
    note,
    ratio_of,
    read_options,
    temporary_folder,
)
from benchmarks.rig.tables import Target, conclude, figure, print_table

ROUNDS: Final = 25
BOUND: Final = 3.0
BARE: Final = "`python -c pass`"
RUN: Final = "`trackerapi run -- true`"


@dataclass(frozen=True, slots=True)
class MeasuredCommand:
    """A measured command line, and its environment variables."""

    command: Sequence[str]
    settings: Mapping[str, str]


def main() -> int:
    """Measure, print a table, compare with the target."""
    options = read_options(__doc__, rounds=ROUNDS, peers=())
    with temporary_folder() as folder:
        seconds = _measure(_commands(folder), options, folder)
    beside = {name: ratio_of(times, seconds[BARE]) for name, times in seconds.items()}
    what = f"{RUN} beside {BARE}"
    status = conclude([Target(what=what, bound=BOUND, measured=beside[RUN])])
    rows = [
        (name, f"{1000 * (median_of(times) or 0):.1f}", figure(beside[name], "x"))
        for name, times in seconds.items()
    ]
    print_table(("command", "ms", "beside a bare interpreter"), rows)
    return status


def _commands(folder: Path) -> dict[str, MeasuredCommand]:
    """Return the measured commands, by their names in the table."""
    script = Path(sys.executable).with_name("trackerapi")
    run = [str(script), "run"]
    step = [*run, "--step", "load", "--", "true"]
    recording = {
        "TRACKERAPI_JOB": "run-command",
        "TRACKERAPI_BASE_URL": "http://127.0.0.1:9",
        "TRACKERAPI_API_KEY": "trk_bench_bench_bench",
        "TRACKERAPI_OUTBOX": str(folder / "outbox"),
        "TRACKERAPI_MODE": "offline",
    }
    down = {**recording, "TRACKERAPI_MODE": "online"}
    by_hand = "import subprocess; subprocess.run(['true'], check=True)"
    return {
        BARE: MeasuredCommand([sys.executable, "-c", "pass"], {}),
        RUN: MeasuredCommand([*run, "--", "true"], {}),
        "the same by `python -m trackerapi`": MeasuredCommand(
            [sys.executable, "-m", "trackerapi", "run", "--", "true"], {}
        ),
        "`trackerapi run --step load -- true`, offline": MeasuredCommand(
            step, recording
        ),
        "the same, backend down": MeasuredCommand(step, down),
        "`subprocess.run` of `true`": MeasuredCommand(
            [sys.executable, "-c", by_hand], {}
        ),
        "`true`": MeasuredCommand(["true"], {}),
    }


def _measure(
    commands: Mapping[str, MeasuredCommand], options: Options, folder: Path
) -> dict[str, list[float]]:
    """Return the seconds of each command in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    # The first round fills the caches of the file system.
    for turn in range(options.rounds + 1):
        note(f"run_command: round {turn} of {options.rounds}")
        for name, command in commands.items():
            taken = _time_of(command, folder)
            if turn:
                seconds[name].append(taken)
    return seconds


def _time_of(command: MeasuredCommand, folder: Path) -> float:
    variables = environment(folder, command.settings)
    variables.pop("PYTHONPATH", None)  # Use the installed package.
    begin = time.perf_counter()
    subprocess.run(
        command.command,
        check=True,
        cwd=folder,
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - begin


if __name__ == "__main__":
    raise SystemExit(main())
