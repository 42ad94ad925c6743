"""Server processes on one database, and reports to them while a test makes faults."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from backend.tests.support.hot_jobs import HotJobs
from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    Service,
    prepare,
    problem_name,
    serve_existing,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx


class Servers:
    """Server processes on one database.

    Args:
        folder: Folder of the files of the backend.
        url: Address of a PostgreSQL database; None for SQLite.
        count: Number of processes; 1 for SQLite.
        prelude: Python code that each process runs at its start.

    Attributes:
        services: Services of the processes; a new process replaces an item.
    """

    def __init__(
        self,
        folder: Path,
        url: str | None,
        *,
        count: int = 1,
        prelude: str | None = None,
    ) -> None:
        self._folder, self._url, self._prelude = folder, url, prelude
        self._keys = prepare(folder, url)
        self._stack = ExitStack()
        self._processes: list[subprocess.Popen[str]] = []
        self.services: list[Service] = []
        for _ in range(count):
            process, service = self._start()
            self._processes.append(process)
            self.services.append(service)

    def _start(self) -> tuple[subprocess.Popen[str], Service]:
        return self._stack.enter_context(
            serve_existing(self._folder, self._keys, self._url, prelude=self._prelude)
        )

    def kill(self, number: int) -> None:
        """Kill a process."""
        self._processes[number].kill()
        self._processes[number].wait()

    def restart(self, number: int) -> None:
        """Start a process in place of a killed one."""
        self._processes[number], self.services[number] = self._start()

    def close(self) -> None:
        """Kill all processes."""
        self._stack.close()


@contextmanager
def ingest(
    folder: Path, url: str | None, *, prelude: str | None = None
) -> Iterator[tuple[Service, HotJobs]]:
    """Report on jobs of one server during the block; check the store at its end."""
    with closing(Servers(folder, url, prelude=prelude)) as servers:
        jobs = HotJobs(servers.services)
        with jobs.reporters():
            jobs.wait_for_events(1)
            yield servers.services[0], jobs
            jobs.wait_for_events(1)
        servers.close()
        jobs.assert_stored(folder, url, ended=True)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    until = time.monotonic() + MAX_WAIT_SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def wait_for_readiness(service: Service, status: int) -> None:
    """Wait until `/readyz` answers with a status."""
    with service.client(None) as client:
        wait_until(lambda: client.get("/readyz").status_code == status)


def assert_unavailable(answer: httpx.Response) -> None:
    """Check that an answer is status 503 with Retry-After."""
    assert (answer.status_code, problem_name(answer)) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
