"""PostgreSQL for the benchmarks: a server of installed binaries, in its own folder."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

USER: Final = "tracker"
START_SECONDS: Final = 60.0
_DEBIAN: Final = Path("/usr/lib/postgresql")


class PostgresServer:
    """Server of PostgreSQL that listens on a socket in its folder alone.

    Args:
        folder: New folder; belongs to the account of the server.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # PostgreSQL refuses to run as root.
        self._account = "nobody" if os.geteuid() == 0 else None
        if self._account is not None:
            record = pwd.getpwnam(self._account)
            os.chown(folder, record.pw_uid, record.pw_gid)
        self._on_data(
            "initdb",
            *("--username", USER, "--auth", "trust", "--encoding", "UTF8"),
            *("--locale", "C", "--no-sync"),
        )

    def start(self) -> None:
        """Start the server; return once it accepts connections."""
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder}"
        log = str(self.folder / "log")
        self._on_data("pg_ctl", "start", "--wait", "--log", log, "--options", options)

    def stop(self) -> None:
        """Stop the server without a checkpoint: its folder is deleted."""
        self._on_data("pg_ctl", "stop", "--wait", "--mode", "immediate")

    def create_database(self, name: str) -> None:
        """Create an empty database."""
        self._run("createdb", "--host", str(self.folder), "--username", USER, name)

    def url(self, name: str, driver: str = "") -> str:
        """Return the address of a database.

        Args:
            name: Name of the database.
            driver: Suffix of the scheme for SQLAlchemy, such as `+asyncpg`.
        """
        return f"postgresql{driver}://{USER}@/{name}?host={self.folder}"

    def _on_data(self, program: str, *arguments: str) -> None:
        self._run(program, *arguments, "--pgdata", str(self.folder / "data"))

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(_find_program(program)), *arguments],
            check=True,
            user=self._account,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=START_SECONDS,
        )


def _find_program(name: str) -> str | None:
    """Return the path of a program of PostgreSQL, the newest version of Debian's."""
    found = shutil.which(name)
    if found is not None:
        return found
    versions = sorted(
        _DEBIAN.glob(f"*/bin/{name}"), key=lambda path: float(path.parent.parent.name)
    )
    return str(versions[-1]) if versions else None


@contextmanager
def postgres_server() -> Iterator[PostgresServer | None]:
    """Run a server during the block; yield None where PostgreSQL is not installed."""
    if _find_program("initdb") is None:
        yield None
        return
    # A short path: the path of a socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        server = PostgresServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
