"""Server processes of the engine's benchmark: the backend and the plain route."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import uuid4

from trackerapi_backend.cli.database import open_store
from trackerapi_backend.settings import storage_from
from trackerapi_backend.store import Store

from benchmarks.rig.load import STEP, Connection
from benchmarks.rig.places import PEERS_FOLDER, ROOT
from benchmarks.rig.runs import environment, note

PLAIN_INTERPRETER: Final = PEERS_FOLDER.absolute() / "plain" / "bin" / "python"
_BACKEND: Final = (sys.executable, "-m", "trackerapi_backend")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_CONFIGURATION: Final = {
    "tag": "bench",
    "name": "Benchmark",
    "step_configurations": [
        {"tag": STEP, "name": "Load", "points": 1},
        {"tag": "store", "name": "Store", "points": 3},
    ],
}


@dataclass(frozen=True, slots=True)
class Account:
    """Key and customer of a provider."""

    key: str = field(repr=False)
    customer_id: int


PLAIN_ACCOUNT: Final = Account("", 1)


def cpu_seconds(pid: int) -> float:
    """Return user and system time of all threads of a process."""
    text = Path(f"/proc/{pid}/stat").read_text()
    # The name of the programme, in parentheses, may have spaces.
    members = text.rpartition(")")[2].split()
    return (int(members[11]) + int(members[12])) / _TICKS


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        url: Address of the server.
        pid: Process id of the server.
        account: Provider whose jobs the load reports on.
        other: Another provider.
    """

    url: str
    pid: int
    account: Account
    other: Account

    def cpu_seconds(self) -> float:
        """Return user and system time of all threads of the process."""
        return cpu_seconds(self.pid)

    def has_ended(self) -> bool:
        """Return whether the process has ended: its parent, we, did not wait for it."""
        return "Z (zombie)" in Path(f"/proc/{self.pid}/status").read_text()

    def max_memory_bytes(self) -> int:
        """Return the maximum memory of the process since its start, in bytes."""
        return self._status_bytes("VmHWM")

    def memory_bytes(self) -> int:
        """Return the present memory of the process, in bytes."""
        return self._status_bytes("VmRSS")

    def _status_bytes(self, wanted: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == wanted:
                return int(value.split()[0]) * 1024
        raise LookupError(wanted)

    def connect(self, account: Account | None = None) -> Connection:
        """Return a new connection with the key of an account."""
        return Connection(self.url, (account or self.account).key)

    def new_jobs(self, count: int, account: Account | None = None) -> list[str]:
        """Create jobs with two steps; return each `provider_job_id`."""
        names = [f"job-{uuid4().hex}" for _ in range(count)]
        with self.connect(account) as connection:
            for name in names:
                new_job(connection, name, account or self.account)
        return names


def new_job(connection: Connection, name: str, account: Account) -> int:
    """Create a job; return its id."""
    body = {
        "provider_job_id": name,
        "customer_id": account.customer_id,
        "tag": "bench",
        "configuration": _CONFIGURATION,
    }
    status, answer = connection.post("/jobs", json.dumps(body).encode())
    if status != 201:
        raise RuntimeError(f"new job: status {status}, {answer[:500]!r}")
    return int(json.loads(answer)["id"])


class Backend:
    """A new database of the backend, with two providers.

    Args:
        folder: New folder for pepper and SQLite file.
        url: Address of an empty PostgreSQL database; "" for SQLite.
    """

    def __init__(self, folder: Path, url: str = "") -> None:
        folder.mkdir()
        name, value = ("DATABASE_URL", url) if url else ("DATABASE", folder / "db")
        self._variables = {
            f"TRACKERAPI_BACKEND_{name}": str(value),
            "TRACKERAPI_BACKEND_PEPPER_FILE": str(folder / "pepper"),
        }
        self._folder = folder
        self._command("migrate")
        self._accounts = [self._new_account(name) for name in ("One", "Two")]

    @contextmanager
    def serve(self) -> Iterator[Server]:
        """Run a server on the database during the block."""
        command = [*_BACKEND, "serve", "--port", "0"]
        with _running(command, self._folder, self._variables) as (url, pid):
            yield Server(url, pid, *self._accounts)

    def open_store(self) -> Store:
        """Open the database while no server runs on it."""
        return open_store(storage_from({}, self._variables))

    def _new_account(self, provider: str) -> Account:
        of_provider = ("--provider", provider)
        key = self._command("key", "create", *of_provider, "--label", "bench")
        customer = self._command("customer", "create", *of_provider, "--name", "Bench")
        return Account(key, int(customer))

    def _command(self, *arguments: str) -> str:
        done = subprocess.run(
            [*_BACKEND, *arguments],
            cwd=self._folder,
            env=environment(self._folder, self._variables),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout.strip()


@contextmanager
def serve_plain(folder: Path, url: str = "") -> Iterator[Server | None]:
    """Run the plain route on a new database; yield None if it is not installed.

    Args:
        folder: New folder for the SQLite file.
        url: Address of an empty PostgreSQL database for asyncpg; "" for SQLite.
    """
    if not PLAIN_INTERPRETER.exists():
        note("the plain route is not installed, run benchmarks/peers.sh first")
        yield None
        return
    folder.mkdir()
    database = url or f"sqlite+aiosqlite:///{folder / 'db'}"
    command = [str(PLAIN_INTERPRETER), "-m", "benchmarks.rig.plain_route", database]
    with _running(command, ROOT, {}) as (address, pid):
        yield Server(address, pid, PLAIN_ACCOUNT, PLAIN_ACCOUNT)


@contextmanager
def _running(
    command: Sequence[str], folder: Path, variables: Mapping[str, str]
) -> Iterator[tuple[str, int]]:
    """Run a server during the block; yield its address and its process id."""
    is_verbose = bool(os.environ.get("BENCH_STDERR"))
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment(folder, variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=None if is_verbose else subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                raise RuntimeError(f"no address from: {' '.join(command)}")
            yield line.split()[-1], process.pid
        finally:
            process.kill()
