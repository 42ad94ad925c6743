"""PostgreSQL for tests: a server of their own, or one that a variable names.

`TEST_DATABASE_URL` names a server and a database from which tests create databases of
their own. Without the variable, the tests start a server from installed binaries.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from backend.tests.support.service import new_name
from scripts.postgres_server import find_program, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.postgres_server import PostgresServer

VARIABLE = "TEST_DATABASE_URL"


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server during the block; skip the test where PostgreSQL is missing."""
    if find_program("initdb") is None:
        skip_without_postgres()
    # Creating a database waits for the disk longer than a test runs.
    with running_server(is_durable=False) as server:
        yield server


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
        yield server.url()


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
        yield changed_url(url, dbname=name)
    finally:
        _execute(url, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(statement.encode())


def changed_url(url: str, **changes: Any) -> str:
    """Return an address with other connection parameters, all of them in its query."""
    values: dict[str, Any] = {**conninfo_to_dict(url), **changes}
    return f"postgresql://?{urlencode(values, quote_via=quote)}"
