"""Viewers of jobs in one process: open streams, and reports on the jobs meanwhile.

A report has arrived at a viewer with the first message of its version or of a later
version: a viewer that is slower than the reports gets only the newest state.
"""

import asyncio
import json
import os
import random
import re
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import uvloop

from benchmarks.rig.servers import Server

MAX_STREAMS_PER_ADDRESS: Final = 50
CONNECT_AT_ONCE: Final = 50
REPORTERS: Final = 8
MAX_WAIT_SECONDS: Final = 30.0
_VERSION: Final = re.compile(rb'"version":(\d+)')


@dataclass(frozen=True, slots=True)
class Job:
    """A job to watch.

    Attributes:
        name: `provider_job_id` of the job.
        path: Path of the stream.
    """

    name: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewing:
    """One measurement.

    Attributes:
        reported_to: Server that gets the reports.
        watched: Server that the viewers connect to.
        jobs: Jobs to watch and to report on.
        viewers_per_job: Number of streams of each job.
        reports_per_second: Number of reports on all jobs, in random intervals.
        seconds: Duration of the reports.
    """

    reported_to: Server
    watched: Server
    jobs: Sequence[Job]
    viewers_per_job: int
    reports_per_second: float
    seconds: float

    def run(self) -> "Viewed":
        """Measure."""
        return uvloop.run(_measure(self))


@dataclass(frozen=True, slots=True)
class Viewed:
    """Result of a measurement.

    Attributes:
        latencies: Time from each report to each viewer, in seconds, in order.
        answers: Time from each report to its response, in seconds, in order.
        behind: Number of viewers that did not get the newest version.
        bytes_per_viewer: Memory that a stream adds to the server.
        shutdown_seconds: Time from SIGTERM to the end of the server, with all viewers.
    """

    latencies: Sequence[float]
    answers: Sequence[float]
    behind: int
    bytes_per_viewer: float
    shutdown_seconds: float


def pooled(rounds: Sequence[Viewed]) -> Viewed:
    """Return all times of several rounds, and the largest of the other figures."""
    return Viewed(
        latencies=sorted(each for one in rounds for each in one.latencies),
        answers=sorted(each for one in rounds for each in one.answers),
        behind=max(one.behind for one in rounds),
        bytes_per_viewer=max(one.bytes_per_viewer for one in rounds),
        shutdown_seconds=max(one.shutdown_seconds for one in rounds),
    )


class _Viewer(asyncio.Protocol):
    """An open stream."""

    def __init__(self) -> None:
        self._unread = b""
        self.arrivals: list[tuple[int, float]] = []
        self.has_begun = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        *messages, self._unread = (self._unread + data).split(b"\n\n")
        for message in messages:
            found = _VERSION.findall(message)
            if b"data: " in message and found:
                self.arrivals.append((int(found[-1]), now))
                if not self.has_begun.done():
                    self.has_begun.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.has_begun.done():
            error = exc or ConnectionError(self._unread[:500])
            self.has_begun.set_exception(error)


@dataclass(slots=True)
class _Reports:
    """Times of the reports, in seconds.

    Attributes:
        sent_at: Time of each report by job and version.
        answers: Time from each report to its response.
    """

    sent_at: dict[str, dict[int, float]] = field(default_factory=dict)
    answers: list[float] = field(default_factory=list)

    def newest(self, job: Job) -> int:
        return max(self.sent_at.get(job.name, {}), default=1)


async def _measure(viewing: Viewing) -> Viewed:
    before = viewing.watched.memory_bytes()
    viewers = await _connect(viewing)
    count = sum(map(len, viewers.values()))
    memory = (viewing.watched.memory_bytes() - before) / count
    reports = await _report(viewing)
    until = time.perf_counter() + MAX_WAIT_SECONDS
    while behind := _count_behind(viewing.jobs, viewers, reports):
        if time.perf_counter() > until:
            break
        await asyncio.sleep(0.05)
    latencies = [
        next(at for version, at in viewer.arrivals if version >= sent) - sent_at
        for job in viewing.jobs
        for viewer in viewers[job.name]
        for sent, sent_at in reports.sent_at.get(job.name, {}).items()
        if viewer.arrivals[-1][0] >= sent
    ]
    seconds = await _end(viewing.watched)
    answers = sorted(reports.answers)
    return Viewed(sorted(latencies), answers, behind, memory, seconds)


async def _end(server: Server) -> float:
    """Send SIGTERM to a server; return the time to its end, in seconds."""
    began = time.perf_counter()
    os.kill(server.pid, signal.SIGTERM)
    while not server.has_ended():
        await asyncio.sleep(0.01)
    return time.perf_counter() - began


def _count_behind(
    jobs: Sequence[Job], viewers: Mapping[str, Sequence[_Viewer]], reports: _Reports
) -> int:
    return sum(
        viewer.arrivals[-1][0] < reports.newest(job)
        for job in jobs
        for viewer in viewers[job.name]
    )


async def _connect(viewing: Viewing) -> dict[str, list[_Viewer]]:
    """Open all streams; return the viewers of each job after their first message."""
    loop, server = asyncio.get_running_loop(), viewing.watched
    host, port = _place(server)
    slots = asyncio.Semaphore(CONNECT_AT_ONCE)

    async def connect(job: Job, number: int) -> _Viewer:
        address = f"127.0.1.{1 + number // MAX_STREAMS_PER_ADDRESS}"
        request = _head("GET", job.path, server) + b"\r\n"
        async with slots:
            transport, viewer = await loop.create_connection(
                _Viewer, host, port, local_addr=(address, 0)
            )
            transport.write(request)
            await asyncio.wait_for(viewer.has_begun, MAX_WAIT_SECONDS)
        return viewer

    wanted = [job for job in viewing.jobs for _ in range(viewing.viewers_per_job)]
    opened = await asyncio.gather(
        *(connect(job, number) for number, job in enumerate(wanted))
    )
    viewers: dict[str, list[_Viewer]] = {}
    for job, viewer in zip(wanted, opened, strict=True):
        viewers.setdefault(job.name, []).append(viewer)
    return viewers


async def _report(viewing: Viewing) -> _Reports:
    """Send reports in random intervals; return when each was sent."""
    reports, chance = _Reports(), random.Random(1)  # noqa: S311
    due: asyncio.Queue[Job | None] = asyncio.Queue()

    async def work() -> None:
        reader, writer = await asyncio.open_connection(*_place(viewing.reported_to))
        while job := await due.get():
            body = json.dumps({"provider_job_id": job.name, "kind": "info"}).encode()
            length = b"Content-Length: %d\r\n\r\n" % len(body)
            sent_at = time.perf_counter()
            writer.write(_head("POST", "/events", viewing.reported_to) + length + body)
            event = json.loads(await _read_answer(reader))
            reports.answers.append(time.perf_counter() - sent_at)
            versions = reports.sent_at.setdefault(job.name, {})
            versions[event["sequence"] + 1] = sent_at
        writer.close()

    workers = [asyncio.create_task(work()) for _ in range(REPORTERS)]
    until = time.perf_counter() + viewing.seconds
    while time.perf_counter() < until:
        due.put_nowait(chance.choice(viewing.jobs))
        await asyncio.sleep(chance.expovariate(viewing.reports_per_second))
    for _ in workers:
        due.put_nowait(None)
    await asyncio.gather(*workers)
    return reports


async def _read_answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    body = await reader.readexactly(int(length[1]) if length else 0)
    if b" 201 " not in head.partition(b"\r\n")[0]:
        raise RuntimeError(f"a report failed: {(head + body)[:500]!r}")
    return body


def _head(method: str, path: str, server: Server) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Content-Type: application/json"]
    return "\r\n".join([*lines, f"X-API-Key: {server.account.key}", ""]).encode()


def _place(server: Server) -> tuple[str, int]:
    parts = urlsplit(server.url)
    return str(parts.hostname), int(parts.port or 80)
