"""Viewers of a job: time from a report to the viewers, memory, end of the server.

1,000 streams of 100 jobs are open while reports on the jobs arrive in random intervals,
50 a second. The viewers connect to one server process; the reports go to the same
process, or to another process on the same PostgreSQL database. One process of the
benchmark sends all reports and reads all streams.

Exit status: 0 all targets are met, 1 a target is missed.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks.rig.runs import note, read_options, temporary_folder
from benchmarks.rig.servers import Backend, Server, new_job
from benchmarks.rig.tables import Target, conclude, figure, print_table
from benchmarks.rig.viewing import Job, Viewed, Viewing, pooled
from scripts.postgres_server import find_program, running_server

JOBS: Final = 100
VIEWERS_PER_JOB: Final = 10
REPORTS_PER_SECOND: Final = 50.0
SECONDS: Final = 10.0
QUICK_SECONDS: Final = 1.0
MAX_MILLISECONDS: Final = 50
MAX_MILLISECONDS_ACROSS: Final = 100
MAX_KILOBYTES: Final = 40
MAX_SHUTDOWN_SECONDS: Final = 3
JOB_STREAM: Final = "`stream_job`, one process"
PAGE_STREAM: Final = "customer's page, one process"
ACROSS: Final = "`stream_job`, reports to another process"
BOUNDS: Final = {
    JOB_STREAM: MAX_MILLISECONDS,
    PAGE_STREAM: MAX_MILLISECONDS,
    ACROSS: MAX_MILLISECONDS_ACROSS,
}


def main() -> int:
    """Measure, print tables, compare with the targets."""
    options = read_options(__doc__, rounds=1, peers=())
    rounds: dict[str, list[Viewed]] = {}
    seconds = QUICK_SECONDS if options.is_quick else SECONDS
    for _ in range(options.rounds):
        with temporary_folder() as folder:
            for name, viewed in _measure_all(folder, seconds):
                rounds.setdefault(name, []).append(viewed)
    figures = {name: pooled(each) for name, each in rounds.items()}
    status = conclude(list(_targets(figures)))
    print_table(
        (
            "viewers of",
            "reports",
            "p50, ms",
            "p99, ms",
            "maximum, ms",
            "response to a report: p50, p99, ms",
            "kB a viewer",
        ),
        [
            (
                name,
                figure(len(viewed.answers)),
                *(_milliseconds(viewed.latencies, q) for q in (0.5, 0.99, 1.0)),
                ", ".join(_milliseconds(viewed.answers, q) for q in (0.5, 0.99)),
                figure(viewed.bytes_per_viewer / 1000),
            )
            for name, viewed in figures.items()
        ],
    )
    return status


def _measure_all(folder: Path, seconds: float) -> Iterator[tuple[str, Viewed]]:
    """Yield the name and the result of each measurement of a round."""
    paths = {JOB_STREAM: _job_path, PAGE_STREAM: _page_path}
    for number, (name, path_of) in enumerate(paths.items()):
        note(f"viewers: {name}")
        with Backend(folder / f"{number}").serve() as server:
            yield name, _measure(server, server, path_of, seconds)
    if find_program("initdb") is None:
        note("PostgreSQL is not installed: its target is missed")
        return
    note(f"viewers: {ACROSS}")
    with running_server() as postgres, ExitStack() as stack:
        backend = Backend(folder / "across", postgres.url())
        one, two = (stack.enter_context(backend.serve()) for _ in range(2))
        yield ACROSS, _measure(one, two, _job_path, seconds)


def _measure(
    reported_to: Server,
    watched: Server,
    path_of: Callable[[Server, int], str],
    seconds: float,
) -> Viewed:
    jobs = list(_new_jobs(watched, path_of))
    return Viewing(
        reported_to=reported_to,
        watched=watched,
        jobs=jobs,
        viewers_per_job=VIEWERS_PER_JOB,
        reports_per_second=REPORTS_PER_SECOND,
        seconds=seconds,
    ).run()


def _new_jobs(server: Server, path_of: Callable[[Server, int], str]) -> Iterator[Job]:
    for number in range(JOBS):
        with server.connect() as connection:
            job_id = new_job(connection, f"job-{number}", server.account)
        yield Job(f"job-{number}", path_of(server, job_id))


def _job_path(_server: Server, job_id: int) -> str:
    return f"/jobs/{job_id}/stream"


def _page_path(server: Server, job_id: int) -> str:
    with server.connect() as connection:
        _status, answer = connection.post(f"/jobs/{job_id}/share-links", b"{}")
    return f"/s/{json.loads(answer)['url'].rpartition('/')[2]}/stream"


def _targets(figures: dict[str, Viewed]) -> Iterator[Target]:
    for name, bound in BOUNDS.items():
        viewed = figures.get(name)
        yield Target(
            what=f"p99 from a report to a viewer: {name}",
            bound=bound,
            measured=1000 * _quantile(viewed.latencies, 0.99) if viewed else None,
            unit="ms",
        )
    yield Target(
        what="memory of a viewer in the server",
        bound=MAX_KILOBYTES,
        measured=max(each.bytes_per_viewer for each in figures.values()) / 1000,
        unit="kB",
    )
    yield Target(
        what="SIGTERM to the end of the server, with all viewers",
        bound=MAX_SHUTDOWN_SECONDS,
        measured=max(each.shutdown_seconds for each in figures.values()),
        unit="s",
    )
    yield Target(
        what="viewers without the newest version at the end",
        bound=0,
        measured=sum(each.behind for each in figures.values()),
        unit="viewers",
    )


def _milliseconds(seconds: Sequence[float], share: float) -> str:
    return figure(1000 * _quantile(seconds, share))


def _quantile(values: Sequence[float], share: float) -> float:
    return values[round(share * (len(values) - 1))]


if __name__ == "__main__":
    raise SystemExit(main())
