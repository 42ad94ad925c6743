"""Erasures that cannot be recorded, cannot end or leave bytes."""

from __future__ import annotations

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from trackerapi_backend.cli.database import open_store
from trackerapi_backend.settings import storage_from
from trackerapi_backend.store import sqlite
from trackerapi_backend.store.known_backups import record_backup

from backend.tests.support.postgres import new_database
from backend.tests.support.servers import Servers, wait_until
from backend.tests.support.service import (
    CUSTOMER,
    command,
    command_here,
    error_line,
    new_job,
    new_name,
    prepare,
    problem_name,
    report,
    serve_existing,
    variables_of,
)
from backend.tests.support.streams import open_stream

if TYPE_CHECKING:
    from pathlib import Path

EVENT = {"kind": "progress", "tag": "load", "completed": 1, "total": 2}
NOBODY = 65534
MARK = "Zq7-planted-Wv3"
FULL_DISK = """
from trackerapi_backend.jobs import erasure
from trackerapi_backend.store import StoreError
def fail(*_arguments, **_options):
    raise StoreError("the disk is full", cause="the disk is full")
erasure.delete_job_rows = fail
"""
NO_JOBS = """
from trackerapi_backend.store.erasures_file import ErasuresFile, StoreError
append = ErasuresFile.append
def fail_for_jobs(self, erased):
    if erased.kind == "job":
        raise StoreError("the disk is full", cause="the disk is full")
    append(self, erased)
ErasuresFile.append = fail_for_jobs
"""
NO_FOLDER = """
import os
variable = "TRACKERAPI_BACKEND_ERASURES_FILE"
os.environ[variable] = os.environ[variable] + "/missing/file"
"""

IMPATIENT = """
from trackerapi_backend.jobs import erasure
from trackerapi_backend.store import sqlite
erasure.FINISH_EVERY_SECONDS = 0.2
sqlite.EMPTY_LOG_SECONDS = 0.1
"""
NO_PURGE = """
import os
from trackerapi_backend.store.sqlite import SqliteStore
SqliteStore.purge = lambda self: os._exit(9)
"""


def has_bytes(folder: Path) -> bool:
    """Return whether a file of a folder contains `MARK`."""
    files = [each for each in folder.iterdir() if each.is_file()]
    return any(MARK.encode() in each.read_bytes() for each in files)


def new_customer(api: httpx.Client) -> int:
    """Create a customer; return its id."""
    return int(api.post("/customers", json={"name": "Ward 3"}).json()["id"])


def status_of_creation(api: httpx.Client, job: dict[str, Any]) -> int:
    """Return the status of the answer to a repeated creation of a job."""
    members = ("provider_job_id", "customer_id", "tag")
    return api.post("/jobs", json={each: job[each] for each in members}).status_code


def has_rows(folder: Path, url: str | None) -> bool:
    """Return whether the database has rows of a job, as `export` counts them."""
    exported = folder / new_name()
    done = command_here("export", f"{exported}", environment=variables_of(folder, url))
    assert done.returncode == 0, done.stderr
    counts = dict(line.split("\t") for line in done.stdout.splitlines())
    names = ("jobs", "events", "customer_values", "customer_messages")
    return any(counts[name] != "0" for name in names)


def test_next_server_finishes_an_erasure(
    tmp_path: Path, database_url: str | None
) -> None:
    """After a failure in the middle, the next server erases the rest of a customer."""
    keys = prepare(tmp_path, database_url)
    with (
        serve_existing(tmp_path, keys, database_url, prelude=FULL_DISK) as (_, service),
        service.client() as api,
    ):
        customer = new_customer(api)
        jobs = [new_job(api, customer_id=customer) for _ in range(3)]
        for job in jobs:
            report(api, job, **EVENT, message="hello")
        failed = api.delete(f"/customers/{customer}")
        assert (failed.status_code, problem_name(failed)) == (503, "unavailable")
        assert api.get(f"/customers/{customer}").status_code == 404
    assert has_rows(tmp_path, database_url)
    again = ("customer", "erase", "--yes", str(customer))
    done = command_here(*again, environment=variables_of(tmp_path, database_url))
    assert "left\trows of an erasure that has not ended" in done.stdout, done.stderr
    with (
        serve_existing(tmp_path, keys, database_url) as (_, service),
        service.client() as api,
    ):
        wait_until(lambda: not has_rows(tmp_path, database_url))
        assert {status_of_creation(api, job) for job in jobs} == {410}


def test_erasure_that_has_begun_is_not_denied(
    tmp_path: Path, database_url: str | None
) -> None:
    """If only a customer can be recorded, the error says that the erasure has begun."""
    keys = prepare(tmp_path, database_url)
    with (
        serve_existing(tmp_path, keys, database_url, prelude=NO_JOBS) as (_, service),
        service.client() as api,
    ):
        customers = [new_customer(api) for _ in range(2)]
        jobs = [new_job(api, customer_id=each) for each in customers]
        failed = api.delete(f"/customers/{customers[0]}")
        assert (failed.status_code, problem_name(failed)) == (503, "unavailable")
        assert failed.json()["detail"].startswith("The erasure has begun")
        assert api.get(f"/customers/{customers[0]}").status_code == 404
    erase = ("customer", "erase", "--yes", str(customers[1]))
    variables = variables_of(tmp_path, database_url)
    stopped = command(*erase, environment=variables, prelude=NO_JOBS)
    assert error_line(stopped).startswith("the erasure has begun")
    with (
        serve_existing(tmp_path, keys, database_url) as (_, service),
        service.client() as api,
    ):
        wait_until(lambda: not has_rows(tmp_path, database_url))
        assert {status_of_creation(api, job) for job in jobs} == {410}


def test_erasure_that_cannot_be_recorded_is_rejected(tmp_path: Path) -> None:
    """Without a line in the file of erasures, nothing is erased."""
    keys = prepare(tmp_path)
    with (
        serve_existing(tmp_path, keys, prelude=NO_FOLDER) as (_process, service),
        service.client() as api,
    ):
        job, customer = new_job(api), new_customer(api)
        for path in (f"/jobs/{job['id']}", f"/customers/{customer}"):
            answer = api.delete(path)
            assert (answer.status_code, problem_name(answer)) == (503, "unavailable")
            assert "Nothing was erased" in answer.json()["detail"]
            assert str(tmp_path) not in answer.text
            assert api.get(path).status_code == 200


def test_erasure_changes_no_other_file(tmp_path: Path) -> None:
    """Erasures are rejected if the setting names a file of another kind."""
    keys = prepare(tmp_path)
    file = tmp_path / "notes"
    variable = {"TRACKERAPI_BACKEND_ERASURES_FILE": str(file)}
    file.write_text("of the operator\n")
    with (
        serve_existing(tmp_path, keys, environment=variable) as (_process, service),
        service.client() as api,
    ):
        job = new_job(api)
        answer = api.delete(f"/jobs/{job['id']}")
        assert (answer.status_code, problem_name(answer)) == (503, "unavailable")
        assert "it is not a file of erasures" in answer.json()["detail"]
        assert status_of_creation(api, job) == 200
    assert file.read_text() == "of the operator\n"


def test_server_removes_the_bytes_of_an_erasure_that_was_killed(
    tmp_path: Path,
) -> None:
    """If a kill prevents the last step of an erasure, the next server runs the step."""
    keys = prepare(tmp_path)
    with (
        serve_existing(tmp_path, keys, prelude=NO_PURGE) as (_, service),
        service.client() as api,
    ):
        job = new_job(api)
        report(api, job, **EVENT, message=MARK)
        with pytest.raises(httpx.TransportError):
            api.delete(f"/jobs/{job['id']}")
    assert has_bytes(tmp_path)
    assert not has_rows(tmp_path, None)
    with serve_existing(tmp_path, keys):
        wait_until(lambda: not has_bytes(tmp_path))


def test_server_removes_the_bytes_after_a_long_read(tmp_path: Path) -> None:
    """A server removes bytes that a long read has kept, once the read has ended."""
    keys = prepare(tmp_path)
    with (
        serve_existing(tmp_path, keys, prelude=IMPATIENT) as (_, service),
        service.client() as api,
        closing(sqlite3.connect(tmp_path / "backend.db")) as reader,
    ):
        job = new_job(api)
        report(api, job, **EVENT, message=MARK)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchall()
        answer = api.delete(f"/jobs/{job['id']}").json()
        assert "a long read" in answer["residue"]
        assert has_bytes(tmp_path)
        reader.rollback()
        wait_until(lambda: not has_bytes(tmp_path))


def test_customer_is_erased_while_others_erase_its_jobs(
    tmp_path: Path, database_url: str | None
) -> None:
    """The erasure of a customer succeeds while others erase jobs of the customer."""
    keys = prepare(tmp_path, database_url)
    with (
        serve_existing(tmp_path, keys, database_url) as (_process, service),
        service.client() as api,
        ThreadPoolExecutor(3) as threads,
    ):
        for _ in range(3):
            customer = new_customer(api)
            jobs = [new_job(api, customer_id=customer) for _ in range(6)]
            paths = [f"/jobs/{job['id']}" for job in jobs]
            whole = threads.submit(api.delete, f"/customers/{customer}")
            single = [*threads.map(api.delete, [*paths, *reversed(paths)])]
            assert whole.result().status_code == 200, whole.result().text
            assert {each.status_code for each in single} <= {200, 404}
            assert {status_of_creation(api, job) for job in jobs} == {410}
    assert not has_rows(tmp_path, database_url)


def test_each_backup_is_named(tmp_path: Path) -> None:
    """An erasure names unfinished backups, and backups with odd names."""
    keys = prepare(tmp_path)
    odd = tmp_path / os.fsdecode(b"o\xffdd")
    done = command_here("backup", str(odd), environment=variables_of(tmp_path))
    assert done.returncode == 0, done.stderr
    with (tmp_path / "backend.db.backups").open("a") as cut:
        cut.write('"/cut off')
    record_backup(tmp_path / "backend.db", tmp_path / "running")
    record_backup(tmp_path / "backend.db", tmp_path / "failed")
    record_backup(tmp_path / "backend.db", tmp_path / ("long" * 1000))
    with (tmp_path / "backend.db.backups").open("ab") as file:
        file.write(b'\xff\n"cut\n' + b"[" * 10_000 + b"\n5\n")
    (tmp_path / "running.new").touch()
    with serve_existing(tmp_path, keys) as (_process, service), service.client() as api:
        answer = api.delete(f"/jobs/{new_job(api)['id']}")
        assert answer.json()["backups"] == ["o\ufffddd", "running"]


@pytest.mark.parametrize("kind", ["link", "link to folder"])
def test_all_names_of_a_database_have_one_list(tmp_path: Path, kind: str) -> None:
    """Backups, copies and erasures by a link are known by the path without a link."""
    folder = tmp_path / "folder"
    folder.mkdir()
    prepare(folder)
    alias = tmp_path / "link"
    alias.symlink_to(folder if kind == "link to folder" else folder / "backend.db")
    by_path = {**variables_of(folder), "TRACKERAPI_BACKEND_ERASURES_FILE": ""}
    database = alias / "backend.db" if kind == "link to folder" else alias
    by_link = {**by_path, "TRACKERAPI_BACKEND_DATABASE": str(database)}
    first, second = tmp_path / "first", tmp_path / "second"
    for file, variables in ((first, by_link), (second, by_path)):
        command_here("backup", f"{file}", environment=variables).check_returncode()
    erase = ("customer", "erase", "--yes", str(CUSTOMER))
    erased = command_here(*erase, environment=by_path).stdout.splitlines()
    assert erased[1:] == [f"backup\t{first}", f"backup\t{second}"]
    for variables in (by_link, by_path):
        restore = ("restore", f"{first}", "--move-aside")
        restored = command_here(*restore, environment=variables).stdout
        assert restored.endswith("erased again\t0 jobs, 1 customers\n")
        aside = folder / "backend.db.before-restore"
        printed = command_here(*erase, environment=variables).stdout.splitlines()
        assert f"backup\t{aside}" in printed
        aside.unlink()


def test_source_of_a_restore_is_named(tmp_path: Path) -> None:
    """An erasure in a restored database names the backup, on one printed line."""
    here, elsewhere = tmp_path / "here", tmp_path / "else\nwhere"
    for folder in (here, elsewhere):
        folder.mkdir()
    prepare(elsewhere)
    saved = elsewhere / "saved"
    for arguments, folder in (("backup", elsewhere), ("restore", here)):
        done = command_here(arguments, f"{saved}", environment=variables_of(folder))
        done.check_returncode()
    erase = ("customer", "erase", "--yes", str(CUSTOMER))
    erased = command_here(*erase, environment=variables_of(here)).stdout.splitlines()
    assert erased == ["jobs\t0", f"backup\t{saved}".replace("\n", "\ufffd")]


def test_list_of_backups_by_root_belongs_to_the_owner(tmp_path: Path) -> None:
    """The server of another user reads the list of backups that root makes."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    prepare(tmp_path)
    os.chown(tmp_path / "backend.db", NOBODY, -1)
    backup = ("backup", f"{tmp_path / 'saved'}")
    command_here(*backup, environment=variables_of(tmp_path)).check_returncode()
    assert (tmp_path / "backend.db.backups").stat().st_uid == NOBODY


def test_stream_of_another_process_ends(tmp_path: Path, postgres: str) -> None:
    """A stream ends when any process on the database erases its job."""
    with (
        new_database(postgres) as url,
        closing(Servers(tmp_path, url, count=2)) as servers,
    ):
        one, other = servers.services
        with one.client() as api, other.client() as reader:
            job = new_job(api)
            with open_stream(reader, f"/jobs/{job['id']}/stream") as stream:
                assert stream.message().data["id"] == job["id"]
                assert api.delete(f"/jobs/{job['id']}").status_code == 200
                assert list(stream.messages()) == []


def test_purge_returns_the_reason_for_remaining_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`purge()` returns a reason if the file is large or a reader uses the log."""
    prepare(tmp_path)
    monkeypatch.setattr(sqlite, "EMPTY_LOG_SECONDS", 0.1)
    storage = storage_from({}, variables_of(tmp_path))
    with closing(open_store(storage)) as store:
        assert store.purge() is None
        with closing(sqlite3.connect(tmp_path / "backend.db")) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM providers").fetchall()
            assert "a long read" in str(store.purge())
        assert store.purge() is None
        monkeypatch.setattr(sqlite, "MAX_REWRITTEN_BYTES", 0)
        assert "`trackerapi-backend compact`" in str(store.purge())
        assert store.purge(whole=True) is None
    done = command_here("compact", environment=variables_of(tmp_path))
    assert done.stdout == f"{tmp_path / 'backend.db'} has no bytes of deleted rows.\n"


def test_free_pages_do_not_prevent_a_rewrite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is rewritten if its data is small, although most of its pages are free."""
    prepare(tmp_path)
    file = tmp_path / "backend.db"
    with closing(open_store(storage_from({}, variables_of(tmp_path)))) as store:
        assert store.purge() is None
        size = file.stat().st_size
        monkeypatch.setattr(sqlite, "MAX_REWRITTEN_BYTES", size)
        with store.transaction() as db:
            db.exec_driver_sql("CREATE TABLE large AS SELECT zeroblob(1000000)")
        assert "too much for a rewrite" in str(store.purge())
        with store.transaction() as db:
            db.exec_driver_sql("DROP TABLE large")
        assert store.purge() is None
        assert file.stat().st_size == size
