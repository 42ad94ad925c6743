"""Server processes on one database, which a test may kill and restart."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from backend.tests.support.service import Service, prepare, serve_existing

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


SHORT_RETRIES = """
from trackerapi_backend.store import postgres, writer

postgres.RETRY_SECONDS = writer.RETRY_SECONDS = 1.0
"""
"""Makes requests fail soon while PostgreSQL does not work."""


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
