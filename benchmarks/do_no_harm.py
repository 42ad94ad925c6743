"""Effects of reporting on a job: output, exit status, time of the end.

Under each fault, one job runs without reporting, and then with each library in its
default settings. "unchanged" means, compared with the job without reporting:

- the same bytes on stdout, and the same exit status
- at most 4 s more until the last line: 3 s for a slow answer, 1 s for the start
- at most 2.3 s more from the last line to the end: `shutdown_timeout` + 0.3 s

Any other cell lists the changes; of several rounds, only the first changed round is
listed.
The job with trackerapi runs alone; jobs with peers run three at a time.

Exit status: 0 if the job with trackerapi is unchanged in every column, 1 if not.
"""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.rig import job
from benchmarks.rig.adapters import ADAPTERS, OURS, PEERS, UNINSTRUMENTED
from benchmarks.rig.places import interpreter
from benchmarks.rig.runs import (
    ended_at_exit,
    ends_within,
    environment,
    new_pool,
    note,
    read_options,
    temporary_folder,
)
from benchmarks.rig.sink import Sink
from benchmarks.rig.tables import NOTHING, print_table

ROUNDS: Final = 1
PEERS_AT_ONCE: Final = 3
LIMIT_SECONDS: Final = 30.0
MEANWHILE_SECONDS: Final = 0.4
LATER_SECONDS: Final = 4.0
EXIT_SECONDS: Final = 2.3
UNCHANGED: Final = "unchanged"
DISK_BYTES: Final = 8192
"""Size of the small disk: an outbox can be created, but 40 events do not fit."""

Act = Callable[[Sink, "subprocess.Popen[bytes]"], object]
Wrap = Callable[[Sequence[str], Path], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault during a run of the job.

    Attributes:
        before: Called with the sink before the job starts.
        meanwhile: Called with the sink and the process 0.4 s after the work of the job
            has begun; None for no call.
        url: Address to report to; None for the address of the sink.
        variables: Additional environment variables of the job.
        outbox: Path of the outbox below the job's folder, for a fault of the outbox;
            the peers are not measured then. None for the usual outbox.
        wrap: Function that returns the command that runs the job's command.
    """

    before: Callable[[Sink], object] = lambda _sink: None
    meanwhile: Act | None = None
    url: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    outbox: str | None = None
    wrap: Wrap = lambda command, _folder: list(command)


@dataclass(frozen=True, slots=True)
class Ending:
    """Result of one run of the job.

    Attributes:
        status: Exit status, negative for a signal; None after a kill at 30 s.
        output: Bytes on stdout.
        work_seconds: Time from the start to the last line; None without a last line.
        exit_seconds: Time from the last line, or else from the fault, to the end.
    """

    status: int | None
    output: bytes
    work_seconds: float | None
    exit_seconds: float


def on_a_small_disk(command: Sequence[str], folder: Path) -> list[str]:
    """Return a command that runs `command` with the outbox on a small disk.

    Only `command` sees the mount of the disk; the mount ends with `command`.
    """
    (folder / "disk").mkdir()
    mount = f'mount -t tmpfs -o size={DISK_BYTES} none "$0" && exec "$@"'
    isolated = ("unshare", "--map-root-user", "--mount", "sh", "-c", mount)
    return [*isolated, str(folder / "disk"), *command]


FAULTS: Final = {
    "healthy": Fault(),
    "down": Fault(before=lambda sink: sink.down()),
    "goes down": Fault(meanwhile=lambda sink, _job: sink.down()),
    "never answers": Fault(before=lambda sink: sink.set(hang=True)),
    "503": Fault(before=lambda sink: sink.set(status=503)),
    "drips": Fault(before=lambda sink: sink.set(drip=True)),
    "HTML": Fault(before=lambda sink: sink.set(odd="html")),
    "garbage": Fault(before=lambda sink: sink.set(odd="garbage")),
    "no such host": Fault(url="http://nonexistent.invalid:80"),
    "folder read-only": Fault(outbox="input.txt/outbox"),
    "disk full": Fault(outbox="disk/outbox", wrap=on_a_small_disk),
    "SIGTERM": Fault(meanwhile=lambda _sink, job: job.send_signal(signal.SIGTERM)),
    "Ctrl-C": Fault(meanwhile=lambda _sink, job: job.send_signal(signal.SIGINT)),
    "job fails": Fault(variables={"BENCH_JOB_FAILS": "1"}),
}


def main() -> int:
    """Run the job under each fault and print the table; return the exit status."""
    peers = [peer for peer in PEERS if not peer.name.endswith("-big")]
    options = read_options(__doc__, rounds=ROUNDS, peers=peers)
    cells: dict[str, list[str]] = {name: [] for name in options.libraries}
    for title, fault in FAULTS.items():
        note(f"do_no_harm: {title}")
        plain = run_job(UNINSTRUMENTED, fault)
        ours = [changes(run_job(OURS, fault), plain) for _ in range(options.rounds)]
        cells[OURS].append(first_change(ours))
        with new_pool(PEERS_AT_ONCE) as pool:
            judge = partial(_judge, fault, plain, options.rounds)
            verdicts = pool.map(judge, options.libraries[1:])
            for name, verdict in zip(options.libraries[1:], verdicts, strict=True):
                cells[name].append(verdict)
    print_table(
        ("job with", *FAULTS), [(name, *verdicts) for name, verdicts in cells.items()]
    )
    return 0 if set(cells[OURS]) == {UNCHANGED} else 1


def _judge(fault: Fault, plain: Ending, rounds: int, library: str) -> str:
    if fault.outbox:
        return NOTHING
    return first_change(
        [changes(run_job(library, fault), plain) for _ in range(rounds)]
    )


def run_job(library: str, fault: Fault) -> Ending:
    """Run the job once under a fault, with a library."""
    with Sink(is_pinned=False) as sink, temporary_folder() as folder:
        numbers = "".join(f"{n * n}\n" for n in range(job.NUMBERS))
        (folder / "input.txt").write_text(numbers)
        fault.before(sink)
        python = str(interpreter(ADAPTERS[library]))
        url = fault.url or sink.url
        command = [python, "-m", "benchmarks.rig.job", library, url]
        variables = {"BENCH_OUTBOX": str(folder / (fault.outbox or "outbox"))}
        with tempfile.TemporaryFile() as printed:
            began = time.monotonic()
            process = subprocess.Popen(
                fault.wrap(command, folder),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=None if os.environ.get("BENCH_STDERR") else subprocess.DEVNULL,
                cwd=folder,
                env=environment(folder, {**variables, **fault.variables}),
                start_new_session=True,
            )
            with ended_at_exit(process):
                disturbed_at = _disturb(fault, sink, process, printed.fileno())
                in_time = ends_within(process, LIMIT_SECONDS)
                ended_at = time.monotonic()
            printed.seek(0)
            output = printed.read()
        last_line_at = _last_line_at(folder)
    since = last_line_at or disturbed_at or began
    return Ending(
        status=process.returncode if in_time else None,
        output=output,
        work_seconds=last_line_at - began if last_line_at else None,
        exit_seconds=ended_at - since,
    )


def _disturb(
    fault: Fault, sink: Sink, process: "subprocess.Popen[bytes]", printed: int
) -> float | None:
    """Cause the fault while the job works; return the time, or None without a fault."""
    if fault.meanwhile is None:
        return None
    end = time.monotonic() + LIMIT_SECONDS
    while process.poll() is None and time.monotonic() < end:
        if os.fstat(printed).st_size:
            time.sleep(MEANWHILE_SECONDS)
            disturbed_at = time.monotonic()
            fault.meanwhile(sink, process)
            return disturbed_at
        time.sleep(0.01)
    return None


def _last_line_at(folder: Path) -> float | None:
    path = folder / "ended"
    return float(path.read_text()) if path.exists() else None


def changes(ending: Ending, plain: Ending) -> str:
    """Return the changes that a library made to the job, as text."""
    if ending.status is None:
        return f"hung (> {LIMIT_SECONDS:.0f} s)"
    found = []
    if ending.status != plain.status:
        found.append(f"exit {ending.status}")
    if ending.output != plain.output:
        found.append("output")
    if ending.work_seconds is not None and plain.work_seconds is not None:
        later = ending.work_seconds - plain.work_seconds
        if later > LATER_SECONDS:
            found.append(f"+{later:.1f} s at work")
    delay = ending.exit_seconds - plain.exit_seconds
    if ending.status == plain.status and delay > EXIT_SECONDS:
        found.append(f"+{delay:.1f} s")
    return ", ".join(found) or UNCHANGED


def first_change(verdicts: Sequence[str]) -> str:
    """Return the changes of the first changed round."""
    return next((each for each in verdicts if each != UNCHANGED), UNCHANGED)


if __name__ == "__main__":
    raise SystemExit(main())
