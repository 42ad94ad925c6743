"""Time of `from trackerapi import TrackerApi`, of `import httpx` and of the peers.

Each import runs in a new interpreter. The imports take turns, so that a change in the
speed of the machine affects all imports. The time of a bare interpreter of the same
environment is subtracted.

Target: importing `TrackerApi` takes at most 0.2 of the time of `import httpx`. Exit
status: 0 the target is met, 1 the target is missed.
"""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.rig.adapters import OURS, PEERS, own
from benchmarks.rig.places import interpreter
from benchmarks.rig.runs import Options, median_of, note, ratio_of, read_options
from benchmarks.rig.tables import Target, conclude, figure, print_table

ROUNDS: Final = 15
BOUND: Final = 0.2
BARE: Final = "pass"
HTTPX: Final = "httpx"


@dataclass(frozen=True, slots=True)
class Import:
    """An import statement, and the interpreter that runs the statement."""

    statement: str
    python: Path


def main() -> int:
    """Measure, print a table, compare with the target."""
    options = read_options(__doc__, rounds=ROUNDS)
    imports = _imports(options)
    everything = dict.fromkeys(
        each
        for wanted in imports.values()
        for each in (Import(BARE, wanted.python), wanted)
    )
    seconds: dict[Import, list[float]] = {each: [] for each in everything}
    # The first round fills the caches of the file system.
    for turn in range(options.rounds + 1):
        note(f"import_time: round {turn} of {options.rounds}")
        for each, times in seconds.items():
            taken = _time_of(each)
            if turn:
                times.append(taken)

    def cost(name: str) -> list[float]:
        wanted = imports[name]
        bare = seconds[Import(BARE, wanted.python)]
        return [a - b for a, b in zip(seconds[wanted], bare, strict=True)]

    beside = {name: ratio_of(cost(name), cost(HTTPX)) for name in imports}
    what = f"`{own.Ours.imports}` beside `import httpx`"
    status = conclude([Target(what=what, bound=BOUND, measured=beside[OURS])])
    rows = [
        (name, f"{1000 * (median_of(cost(name)) or 0):.1f}", figure(beside[name], "x"))
        for name in imports
    ]
    print_table(("import of", "ms", "beside httpx"), rows)
    return status


def _imports(options: Options) -> dict[str, Import]:
    project = Path(sys.executable)
    found = {
        OURS: Import(own.Ours.imports, project),
        "`trackerapi` alone": Import("import trackerapi", project),
        HTTPX: Import("import httpx", project),
    }
    for adapter in options.adapters:
        known = {one.statement for one in found.values()}
        if adapter in PEERS and adapter.imports not in known:
            found[adapter.name] = Import(adapter.imports, interpreter(adapter))
    return found


def _time_of(each: Import) -> float:
    begin = time.perf_counter()
    subprocess.run(
        [each.python, "-c", each.statement], check=True, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - begin


if __name__ == "__main__":
    raise SystemExit(main())
