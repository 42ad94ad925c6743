"""Application of the path `/metrics`.

No metric has a label for a provider, a customer or a job. The number of values is
therefore bounded, and the metrics do not reveal the volume of a provider.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import resource
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from trackerapi_backend import measurements
from trackerapi_backend.metrics.openmetrics import CONTENT_TYPE, Family, gauges, render
from trackerapi_backend.store import StoreError
from trackerapi_backend.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import Receive, Scope, Send

    from trackerapi_backend.requests.call import Services
    from trackerapi_backend.store import Store

PATH = "/metrics"
SIZE_INTERVAL_SECONDS = 10.0
"""Minimum interval between two measurements of the size of the store, in seconds."""
SIZE_WAIT_SECONDS = 1.0
"""Maximum wait for the size of the store, in seconds: a busy store delays no metric."""

_STARTED_AT = time.time()
_MEMORY = Path("/proc/self/statm")
_DESCRIPTORS = Path("/proc/self/fd")

_log = logging.getLogger(__name__)


class MetricsApp:
    """Application that answers `GET /metrics` with the metrics of the process.

    Args:
        services: Services of the server.
        count_connections: Function that returns the number of open connections.
    """

    def __init__(
        self, services: Services, count_connections: Callable[[], int]
    ) -> None:
        self._services, self._count_connections = services, count_connections
        self._size = _StoreSize(services.store)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request: 404 for another path, 405 for another method."""
        response: Response
        if Request(scope).url.path != PATH:
            response = PlainTextResponse(f"Metrics are under {PATH}.\n", 404)
        elif scope["method"] not in ("GET", "HEAD"):
            response = PlainTextResponse("Send GET.\n", 405, {"Allow": "GET, HEAD"})
        else:
            size_bytes = await self._size.latest()
            document = render(self._families(size_bytes))
            response = Response(document, headers={"Content-Type": CONTENT_TYPE})
        await response(scope, receive, send)

    def _families(self, size_bytes: int | None) -> Iterator[Family]:
        build = Family("trackerapi_build", "info", "Version of the server.")
        build.add(1, version=__version__, python=platform.python_version())
        yield build
        yield from _request_families()
        yield from self._writer_families()
        yield from gauges(
            {
                **self._store_gauges(size_bytes),
                "trackerapi_connections": (
                    self._count_connections(),
                    "Open connections of clients.",
                ),
                "trackerapi_viewers": (
                    self._services.hub.viewer_count,
                    "Streams that are open.",
                ),
            }
        )
        yield from _process_families()

    def _store_gauges(
        self, size_bytes: int | None
    ) -> dict[str, tuple[float | None, str]]:
        pool = self._services.store.pool_use()
        return {
            "trackerapi_ready": (
                int(self._services.readiness.reason is None),
                "1 if the latest check could write to and read the store, else 0.",
            ),
            "trackerapi_store_size_bytes": (
                size_bytes,
                "Size of the SQLite file with its log, or of the PostgreSQL database.",
            ),
            "trackerapi_pool_in_use": (
                pool.in_use_count,
                "Reading connections to the database that are in use.",
            ),
            "trackerapi_pool_size": (
                pool.max_count,
                "Maximum number of reading connections to the database.",
            ),
        }

    def _writer_families(self) -> Iterator[Family]:
        writer = self._services.writer
        backlog = writer.backlog()
        yield from gauges(
            {
                "trackerapi_queue_commands": (
                    backlog.waiting_count,
                    "Commands that wait to be stored.",
                ),
                "trackerapi_queue_oldest_seconds": (
                    backlog.oldest_seconds,
                    "Age of the oldest command that waits or runs; 0 without commands.",
                ),
            }
        )
        commits = Family(
            "trackerapi_commit_seconds",
            "histogram",
            "Durations of commits; each stores a group of commands.",
            "seconds",
        )
        commits.add_histogram(writer.commit_seconds)
        yield commits
        commands = Family(
            "trackerapi_committed_commands",
            "counter",
            "Commands of all committed groups; a rejected command counts too.",
        )
        commands.add(writer.committed_count)
        yield commands
        failures = Family(
            "trackerapi_failed_groups",
            "counter",
            "Groups of commands that could not be stored with one commit.",
        )
        failures.add(writer.failed_count)
        yield failures


class _StoreSize:
    """Size of the store, measured in a thread at most every `SIZE_INTERVAL_SECONDS`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._latest: int | None = None
        self._next_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def latest(self) -> int | None:
        """Return the latest known size in bytes; None if no size is known."""
        is_running = self._task is not None and not self._task.done()
        if not is_running and time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + SIZE_INTERVAL_SECONDS
            self._task = asyncio.create_task(self._measure())
            await asyncio.wait([self._task], timeout=SIZE_WAIT_SECONDS)
        return self._latest

    async def _measure(self) -> None:
        try:
            self._latest = await run_in_threadpool(self._store.size_bytes)
        except StoreError as error:
            # Forget the old size: the metrics would present it as the current size.
            self._latest = None
            _log.warning("the size of the store is not known: %s", error)


def _request_families() -> Iterator[Family]:
    counts = Family("trackerapi_requests", "counter", "Requests that were answered.")
    for (operation, status), count in measurements.requests.counts.items():
        counts.add(count, operation=operation, status=str(status))
    yield counts
    seconds = Family(
        "trackerapi_request_seconds",
        "histogram",
        "Durations of requests until the end of the response; streams last minutes.",
        "seconds",
    )
    for operation, durations in measurements.requests.seconds.items():
        seconds.add_histogram(durations, operation=operation)
    yield seconds
    events = Family(
        "trackerapi_events",
        "counter",
        "Events of reports; an invalid body of create_event counts as no event.",
    )
    for outcome, count in measurements.events.items():
        events.add(count, outcome=outcome)
    yield events


def _process_families() -> Iterator[Family]:
    """Yield the metrics of any process, under the names that Prometheus gives them."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = Family(
        "process_cpu_seconds", "counter", "CPU time of user and system.", "seconds"
    )
    cpu.add(usage.ru_utime + usage.ru_stime)
    yield cpu
    memory_bytes = descriptors = None
    # Only Linux has these files.
    with suppress(OSError):
        pages = int(_MEMORY.read_text().split()[1])
        memory_bytes = pages * resource.getpagesize()
        descriptors = len(os.listdir(_DESCRIPTORS))  # noqa: PTH208 -- no path objects
    max_descriptors, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield from gauges(
        {
            "process_start_time_seconds": (
                _STARTED_AT,
                "Start of the process, in seconds since 1970.",
            ),
            "process_resident_memory_bytes": (memory_bytes, "Memory in use."),
            "process_open_fds": (descriptors, "Open file descriptors."),
            "process_max_fds": (max_descriptors, "Maximum of open file descriptors."),
        }
    )
