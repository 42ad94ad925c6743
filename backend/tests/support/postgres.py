"""PostgreSQL for tests: a server of their own, or one that a variable names.

`TEST_DATABASE_URL` names a server and a database from which tests create databases of
their own. Without the variable, the tests start a server from installed binaries.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from backend.tests.support.service import MAX_WAIT_SECONDS, new_name

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "TEST_DATABASE_URL"
_DEBIAN = Path("/usr/lib/postgresql")
_USER = "tracker"


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
        self._run(
            "initdb",
            *("--username", _USER, "--auth", "trust", "--encoding", "UTF8"),
            *("--locale", "C", "--no-sync"),
        )

    @property
    def url(self) -> str:
        """Address of the first database."""
        return f"postgresql://{_USER}@/postgres?host={self.folder}"

    def start(self) -> None:
        """Start the server; return once it accepts connections."""
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder}"
        log = str(self.folder / "log")
        self._run("pg_ctl", "start", "--wait", "--log", log, "--options", options)

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server.

        Args:
            mode: `fast` ends the sessions in order, `immediate` is like a crash.
        """
        self._run("pg_ctl", "stop", "--wait", "--mode", mode)

    def _run(self, program: str, *arguments: str) -> None:
        path = _find_program(program)
        assert path is not None
        subprocess.run(
            [path, *arguments, "--pgdata", str(self.folder / "data")],
            check=True,
            user=self._account,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=MAX_WAIT_SECONDS,
        )


def _find_program(name: str) -> str | None:
    """Return the path of a program of PostgreSQL, the newest version of Debian's."""
    found = shutil.which(name)
    if found is not None:
        return found
    versions = sorted(_DEBIAN.glob(f"*/bin/{name}"), key=_version)
    return str(versions[-1]) if versions else None


def _version(program: Path) -> float:
    return float(program.parent.parent.name)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server during the block; skip the test where PostgreSQL is missing."""
    if _find_program("initdb") is None:
        skip_without_postgres()
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
        shutil.rmtree(folder)


def skip_without_postgres() -> None:
    """Skip the test; fail it in CI, where PostgreSQL has to be installed."""
    reason = f"PostgreSQL is not installed and {VARIABLE} is not set"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def database_server() -> Iterator[str]:
    """Yield the address of a database from which tests may create others."""
    given = os.environ.get(VARIABLE)
    if given:
        yield given
        return
    with postgres_server() as server:
        yield server.url


@contextmanager
def new_database(url: str, options: str = "") -> Iterator[str]:
    """Create a database during the block; yield its address.

    Args:
        url: Address of a database of the same server.
        options: Options of CREATE DATABASE.
    """
    name = new_name().replace("-", "")
    _execute(url, f"CREATE DATABASE {name} {options}")
    try:
        values: dict[str, Any] = {**conninfo_to_dict(url), "dbname": name}
        yield _as_url(values)
    finally:
        _execute(url, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(statement.encode())


def _as_url(values: dict[str, Any]) -> str:
    """Return the URL of connection parameters, all of them in its query."""
    return f"postgresql://?{urlencode(values)}"
