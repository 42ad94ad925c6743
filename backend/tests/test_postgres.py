"""PostgreSQL: several processes on one database, restarts, locks, settings."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from trackerapi_backend.store import StoreError
from trackerapi_backend.store.driver_sql import savepoint
from trackerapi_backend.store.postgres import PostgresStore
from trackerapi_backend.store.postgres_sql import fetch, queue

from backend.tests.support.fault_preludes import SHORT_RETRIES
from backend.tests.support.postgres import new_database
from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    Service,
    command,
    command_here,
    error_line,
    new_job,
    prepare,
    report,
    serve_existing,
    variables_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection


WRITERS = 8
URL = "TRACKERAPI_BACKEND_DATABASE_URL"
FILE = "TRACKERAPI_BACKEND_DATABASE"
PEPPER = "TRACKERAPI_BACKEND_PEPPER_FILE"


@pytest.fixture
def url(postgres: str) -> Iterator[str]:
    """Address of a new database."""
    with new_database(postgres) as url:
        yield url


def test_transactions_ignore_the_default_isolation(url: str) -> None:
    """Transactions are `read committed` with any default of the database."""
    with psycopg.connect(url, autocommit=True) as db:
        level = "default_transaction_isolation = 'serializable'"
        _set_default(db, f"ALTER DATABASE {db.info.dbname} SET {level}")
    PostgresStore(url, migrate=True).close()
    with closing(PostgresStore(url)) as store, store.transaction(shared=True) as db:
        level = db.exec_driver_sql("SHOW transaction_isolation").scalar_one()
    assert level == "read committed"


def test_cut_connections_are_replaced(tmp_path: Path, url: str) -> None:
    """Reads and reports succeed after PostgreSQL has ended all sessions."""
    keys = prepare(tmp_path, url)
    with (
        serve_existing(tmp_path, keys, url) as (_process, service),
        service.client() as api,
        psycopg.connect(url, autocommit=True) as db,
    ):
        job = new_job(api)
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        report(api, job, kind="start")
        assert api.get(f"/jobs/{job['id']}").json()["status"] == "running"


def test_other_schema_is_refused(tmp_path: Path, url: str) -> None:
    """`serve` on an empty or newer database ends with the command that fixes it."""
    variables = variables_of(tmp_path, url)
    result = command("serve", "--port", "0", environment=variables)
    assert "has no schema" in error_line(result)
    assert "trackerapi-backend migrate" in error_line(result)
    assert command_here("migrate", environment=variables).returncode == 0
    with psycopg.connect(url) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    result = command("serve", "--port", "0", environment=variables)
    assert "has schema 9999" in error_line(result)


def test_two_migrations_at_a_time_succeed(tmp_path: Path, url: str) -> None:
    """Two `migrate` commands on one empty database both succeed."""
    variables = variables_of(tmp_path, url)

    def migrate() -> int:
        return command("migrate", environment=variables).returncode

    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(migrate) for _ in range(2)]
    assert [migration.result() for migration in both] == [0, 0]


@pytest.mark.parametrize(
    ("variables", "parts"),
    [
        ({FILE: "b.db", URL: "postgresql://h/b", PEPPER: "p"}, [FILE, URL]),
        ({URL: "postgresql://h/b"}, [PEPPER]),
        ({URL: "mysql://h/b", PEPPER: "p"}, [URL, "postgresql://"]),
        ({FILE: "postgresql://h/b", PEPPER: "p"}, [FILE, URL]),
        ({URL: "postgresql://u:hid den@[h/b", PEPPER: "p"}, [URL, "postgresql://user"]),
        (
            {URL: "postgresql://u:hidden@\udcff", PEPPER: "p"},
            [URL, "postgresql://user"],
        ),
        ({URL: "postgresql://u:x@hidden@h/b", PEPPER: "p"}, [URL, "postgresql://user"]),
        ({URL: "postgresql://u:hidden@127.0.0.1:1/b", PEPPER: "p"}, [URL, "refused"]),
    ],
    ids=[
        *("two databases", "no pepper", "unknown engine", "address as file"),
        *("open bracket", "not UTF-8", "two @", "refused connection"),
    ],
)
@pytest.mark.parametrize("name", ["serve", "migrate", "customer"])
def test_wrong_setting_is_one_error(
    variables: dict[str, str], parts: list[str], name: str
) -> None:
    """One line names the variable to change, and never the password."""
    actions = {"customer": ["list"]}
    run = command if name == "serve" else command_here
    result = run(name, *actions.get(name, []), environment=variables)
    line = error_line(result)
    assert all(part in line for part in parts)
    assert "hidden" not in line
    assert "hid den" not in line


@pytest.mark.parametrize(
    ("part", "value", "reason"),
    [("dbname", "no_such", "does not exist"), ("user", "no_such", "does not exist")],
)
def test_rejected_connection_names_the_parts_to_check(
    tmp_path: Path, url: str, part: str, value: str, reason: str
) -> None:
    """If PostgreSQL rejects the connection, the error lists the parts to check."""
    variables = variables_of(
        tmp_path, f"{url}{'&' if '?' in url else '?'}{part}={value}"
    )
    line = error_line(command_here("migrate", environment=variables))
    assert reason in line
    assert f"database, user and password in {URL}" in line


@pytest.mark.parametrize("name", ["none/pepper", "file/pepper", "folder"])
def test_unusable_pepper_file_is_one_error(tmp_path: Path, url: str, name: str) -> None:
    """`key create` names the file, the reason and the fixes; no key is created."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    variables = {**variables_of(tmp_path, url), PEPPER: str(tmp_path / name)}
    assert command_here("migrate", environment=variables).returncode == 0
    create = command_here(
        "key", "create", "--provider", "One", "--label", "a", environment=variables
    )
    line = error_line(create)
    assert str(tmp_path / name) in line
    assert "make its folder" in line
    assert PEPPER in line
    with psycopg.connect(url) as db:
        assert db.execute("SELECT count(*) FROM api_keys").fetchone() == (0,)


def test_second_host_needs_the_pepper_of_the_first(tmp_path: Path, url: str) -> None:
    """`serve` makes no pepper; `key create` makes only the pepper of the first key."""
    variables = variables_of(tmp_path, url)
    assert command_here("migrate", environment=variables).returncode == 0
    create = ("key", "create", "--provider", "One", "--label", "nightly")
    before = command("serve", "--port", "0", environment=variables)
    assert command_here(*create, environment=variables).returncode == 0
    other = {**variables, PEPPER: str(tmp_path / "other")}
    assert "`trackerapi-backend key create` makes both" in error_line(before)
    results = [
        command_here(*create, environment=other),
        command("serve", "--port", "0", environment=other),
    ]
    for result in results:
        assert "copy it from the host" in error_line(result)
    assert not (tmp_path / "other").exists()


def test_missing_driver_is_one_error(tmp_path: Path) -> None:
    """Without the extra, the error has the command that installs the driver."""
    result = command(
        "migrate",
        environment=variables_of(tmp_path, "postgresql://127.0.0.1/b"),
        prelude="import sys; sys.modules['psycopg'] = None",
    )
    assert "pip install 'trackerapi-backend[postgres]'" in error_line(result)


def test_option_for_a_file_replaces_the_variables(tmp_path: Path) -> None:
    """`--database` counts even if a variable names PostgreSQL."""
    file = tmp_path / "b.db"
    variables = {URL: "postgresql://127.0.0.1:1/b", FILE: ""}
    result = command_here("migrate", "--database", str(file), environment=variables)
    assert result.returncode == 0
    assert file.exists()


def test_failed_statement_rolls_the_whole_transaction_back(url: str) -> None:
    """A swallowed error of a statement makes the transaction fail at its end."""
    with closing(PostgresStore(url, migrate=True)) as store:

        def swallow_an_error() -> None:
            with store.transaction() as db:
                db.exec_driver_sql("INSERT INTO providers VALUES (1, 'One', 0)")
                with suppress(ProgrammingError):
                    db.exec_driver_sql("SELECT * FROM no_such_table")

        with pytest.raises(StoreError, match="rolled the transaction back"):
            swallow_an_error()
        assert store.read(providers) == []


@pytest.mark.parametrize("more", [0, 1], ids=["commit", "statement"])
def test_failed_queued_statement_rolls_the_whole_transaction_back(
    url: str, more: int
) -> None:
    """COMMIT or the next statement raises the error of a queued statement."""
    insert = "INSERT INTO providers VALUES (1, 'One', 0)"
    with closing(PostgresStore(url, migrate=True)) as store:

        def queue_twice() -> None:
            with store.transaction() as db:
                queue(db, insert)
                queue(db, insert)
                for _ in range(more):
                    db.exec_driver_sql("SELECT 1")

        with pytest.raises(IntegrityError, match="duplicate key"):
            queue_twice()
        assert store.read(providers) == []
        with store.transaction() as db:
            queue(db, insert)
        assert store.read(providers) == ["One"]


def test_plans_outlive_a_rolled_back_command(url: str) -> None:
    """After ROLLBACK TO SAVEPOINT, statements with plans still run."""
    query = "SELECT count(*) FROM unnest($1::bigint[])"
    with closing(PostgresStore(url, migrate=True)) as store, store.transaction() as db:
        for _ in range(10):  # psycopg makes a plan after five runs
            db.exec_driver_sql("SELECT 1")
        assert fetch(db, query, [[1, 2]]) == [(2,)]
        with suppress(LookupError), savepoint(db, "command"):
            raise LookupError
        assert fetch(db, query, [[1]]) == [(1,)]


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("INSERT INTO names SELECT {0}::text", "23514"),
        ("SELECT {0}::text::int", "22P02"),
    ],
)
def test_errors_of_statements_quote_no_values(
    url: str, statement: str, state: str
) -> None:
    """Errors contain neither a row nor a value, with and without a cursor."""
    secret = b"Mrs-Example"
    runs: list[Callable[[Connection], object]] = [
        lambda db: fetch(db, statement.format("$1"), [secret]),
        lambda db: queue(db, statement.format("$1"), [secret]),
        lambda db: db.exec_driver_sql(statement.format("%s"), (secret.decode(),)),
    ]
    with closing(PostgresStore(url, migrate=True)) as store:
        with psycopg.connect(url) as direct:
            direct.execute("CREATE TABLE names (name text CHECK (false))")
        for run in runs:
            with pytest.raises(DBAPIError) as caught, store.transaction() as db:
                run(db)
            assert isinstance(caught.value.orig, psycopg.Error)
            assert caught.value.orig.sqlstate == state
            assert secret.decode() not in f"{caught.value}"


def providers(db: Connection) -> list[str]:
    """Return the names of all providers."""
    return [*db.exec_driver_sql("SELECT name FROM providers").scalars()]


def test_read_only_server_gets_503_and_is_not_ready(tmp_path: Path, url: str) -> None:
    """While the database is read-only, reports get 503 and `/readyz` gets 503."""
    keys = prepare(tmp_path, url)
    with (
        serve_existing(tmp_path, keys, url, prelude=SHORT_RETRIES) as (
            _process,
            service,
        ),
        service.client() as api,
        psycopg.connect(url, autocommit=True) as db,
    ):
        job = new_job(api)
        name = db.info.dbname
        _set_default(db, f"ALTER DATABASE {name} SET default_transaction_read_only=on")
        refused = api.post(
            "/events", json={"provider_job_id": job["provider_job_id"], "kind": "info"}
        )
        assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
        wait_for_status(service, 503)
        _set_default(db, f"ALTER DATABASE {name} RESET default_transaction_read_only")
        report(api, job, kind="start")
        wait_for_status(service, 200)


def _set_default(db: psycopg.Connection[Any], statement: str) -> None:
    """Change a default of the database, and end the sessions that have the old one."""
    db.execute("SET default_transaction_read_only = off")
    db.execute(statement.encode())
    db.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def wait_for_status(service: Service, status: int) -> None:
    """Wait until `/readyz` answers with a status."""
    until = time.monotonic() + MAX_WAIT_SECONDS
    with service.client(None) as client:
        while client.get("/readyz").status_code != status:
            assert time.monotonic() < until
            time.sleep(0.2)


def test_database_with_another_encoding_is_refused(
    tmp_path: Path, postgres: str
) -> None:
    """One line names the encoding and the command that makes a better database."""
    template = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    with new_database(postgres, template) as url:
        result = command_here("migrate", environment=variables_of(tmp_path, url))
        assert "encoding SQL_ASCII" in error_line(result)
        assert "createdb --encoding UTF8" in error_line(result)


def test_options_of_the_address_count(tmp_path: Path, url: str) -> None:
    """`options` of the address counts; `client_encoding` is always UTF8."""
    with psycopg.connect(url) as db:
        db.execute("CREATE SCHEMA mine")
    given = f"{url}&options=-csearch_path%3Dmine&client_encoding=LATIN1"
    variables = variables_of(tmp_path, given)
    assert command_here("migrate", environment=variables).returncode == 0
    name = ("--provider", "One", "--name", "Ward 名")
    assert (
        command_here("customer", "create", *name, environment=variables).returncode == 0
    )
    with psycopg.connect(url) as db:
        assert db.execute("SELECT name FROM mine.customers").fetchone() == ("Ward 名",)
