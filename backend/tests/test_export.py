"""Commands `export` and `import`: all data, from each engine to each engine."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import re
import shutil
import signal
import stat
import subprocess
from base64 import b64encode
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest
from trackerapi_backend.cli.database import open_store
from trackerapi_backend.instants import utc_now
from trackerapi_backend.settings import storage_from
from trackerapi_backend.store import transfer
from trackerapi_backend.store.schema import metadata
from trackerapi_backend.store.transfer import TABLES, count_rows
from trackerapi_backend.store.transfer_file import open_export

from backend.tests.support.disks import SMALL_DISK_BYTES, small_disk
from backend.tests.support.histories import assert_states_equal_refolds, random_history
from backend.tests.support.images import png
from backend.tests.support.postgres import new_database
from backend.tests.support.reporting import report_from_threads, stored_ids
from backend.tests.support.service import (
    CUSTOMER,
    MAX_WAIT_SECONDS,
    Service,
    all_items,
    command,
    command_here,
    error_line,
    new_job,
    new_name,
    prepare,
    report,
    send_lines,
    serve_existing,
    variables_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx
    from sqlalchemy import Connection

SMALL_BATCHES = "from trackerapi_backend.store import transfer; transfer.MAX_ROWS = 7"
# Ends the process like `kill -9`, after the statement of a batch and before its commit.
KILL_AT_BATCH = """
import os, signal
from trackerapi_backend.store import transfer
transfer.MAX_ROWS = 7
insert, batches = transfer.TransferTable.insert, iter(range(1, 10**9))
def insert_or_die(table, db, rows):
    insert(table, db, rows)
    if next(batches) == %d:
        os.kill(os.getpid(), signal.SIGKILL)
transfer.TransferTable.insert = insert_or_die
"""
# Ends the process like `kill -9`, before the last table of an export.
KILL_AT_SHARE_LINKS = """
import os, signal
from trackerapi_backend.store import transfer
read_pages = transfer.TransferTable.read_pages
def read_or_die(table, db):
    if table.name == "share_links":
        os.kill(os.getpid(), signal.SIGKILL)
    return read_pages(table, db)
transfer.TransferTable.read_pages = read_or_die
"""
INTERRUPT = """
from trackerapi_backend.store import transfer
def interrupt(*_arguments):
    raise KeyboardInterrupt
transfer.TransferTable.%s = interrupt
"""
NAMES = ("Ä", "a", "B", "_", "aB", "ab c")
"""Names whose order depends on the language; one is not ASCII."""
METADATA_STEPS = [
    {
        "tag": "load",
        "name": "Load",
        "points": 1,
        "metadata_configurations": [
            {"name": name, "kind": "text", "audience": "customer"} for name in NAMES
        ],
    },
    {"tag": "Store", "name": "Store", "points": 3},
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """Exported database of a server that has stopped.

    Attributes:
        url: Address of the database; None for SQLite.
        file: File of the export.
        seen: Responses of the server before the export.
        page: Path of the page of a share link.
    """

    folder: Path
    url: str | None
    keys: dict[str, str]
    file: Path
    seen: dict[str, Any]
    page: str


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Exported]:
    """An export with rows in each table, once from each engine."""
    folder = tmp_path_factory.mktemp("exported")
    if request.param == "sqlite":
        yield fill_and_export(folder, None)
        return
    with new_database(request.getfixturevalue("postgres")) as url:
        yield fill_and_export(folder, url)


def fill_and_export(folder: Path, url: str | None) -> Exported:
    """Report random histories to a new server; export its database."""
    keys = prepare(folder, url)
    with serve_existing(folder, keys, url) as (process, service):
        with service.client() as api:
            page = fill(api)
        keys["token"] = service.keys["token"] = make_token(service)
        seen = responses(service, page)
        process.terminate()
        process.wait(MAX_WAIT_SECONDS)
    file = folder / "tracker.export"
    result = command("export", str(file), environment=variables_of(folder, url))
    assert counts_of(result) == count_stored(folder, url)
    return Exported(folder=folder, url=url, keys=keys, file=file, seen=seen, page=page)


def fill(api: httpx.Client) -> str:
    """Make rows of all tables; return the path of the page of a share link."""
    api.post("/customers", json={"reference": "Röntgen-7", "name": 'Ward "3"\u2028'})
    for seed in range(4):
        job = new_job(api, metadata={"seed": seed, "z": [1.0, 1e-7, None], "a": "ü"})
        lines = [
            {**event, "provider_job_id": job["provider_job_id"]}
            for event in random_history(seed, 60)
        ]
        assert send_lines(api, lines).json()["accepted"] == len(lines)
    tag = new_name()
    steps = {"tag": tag, "name": "With data", "step_configurations": METADATA_STEPS}
    steps["texts"] = {"de": {"name": "Mit Daten 🙂", "metadata": {NAMES[0]: "Ö 🙂"}}}
    steps["silent_after"] = 600
    texts = {"title": "MRI: Zoë 🙂", "reference": "MR-7"}
    job = new_job(api, tag=tag, configuration=steps, **texts)
    values = {name: f"{name} 🙂\n" for name in NAMES}
    report(api, job, kind="info", tag="load", message="Read.", event_metadata=values)
    report(api, job, kind="error", tag="load", detail="a\tb\\", message="Sorry.")
    report(api, job, kind="progress", tag="load", completed=0.1, total=1e15)
    without = {"provider_job_id": new_name(), "customer_id": CUSTOMER, "tag": "plain"}
    assert api.post("/jobs", json=without).status_code == 201
    named = {"label": "Zoë 🙂", "language": "de"}
    path = f"/jobs/{job['id']}/share-links"
    links = [api.post(path, json=sent) for sent in ({}, named)]
    profile = {
        "display_name": "Zoë & Co",
        "accent": "#0c6a60",
        "language": "en",
        "mark": b64encode(png(8, 8)).decode(),
    }
    assert api.patch("/provider-profile", json=profile).is_success
    revoked = links[1].json()["share_link"]["id"]
    assert api.post(f"/share-links/{revoked}/revoke").is_success
    return urlsplit(links[0].json()["url"]).path


def make_token(service: Service) -> str:
    """Return a token of a job, which is a key with a job."""
    with service.client() as api:
        job = api.get("/jobs").json()["items"][0]
        answer = api.post(f"/jobs/{job['id']}/tokens", json={"label": "container"})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])


def responses(service: Service, page: str) -> dict[str, Any]:
    """Return all that the keys of both providers can read, and a customer's page."""
    seen: dict[str, Any] = {}
    for key in ("all", "other"):
        with service.client(key) as api:
            jobs = all_items(api, "/jobs")
            paths = [f"/jobs/{job['id']}" for job in jobs]
            seen[key] = {
                "jobs": jobs,
                "job": [api.get(path).json() for path in paths],
                "events": [all_items(api, f"{path}/events") for path in paths],
                # Each view of a page may change the time of its link's latest view.
                "links": [
                    {**item, "last_opened_at": None}
                    for path in paths
                    for item in all_items(api, f"{path}/share-links")
                ],
                "customers": all_items(api, "/customers"),
                "profile": api.get("/provider-profile").json(),
                "configurations": all_items(api, "/job_configurations"),
                # Each use of a key changes the time of its latest use.
                "keys": [
                    {**item, "last_used_at": None}
                    for item in all_items(api, "/api-keys")
                ],
            }
    for key in service.keys:
        with service.client(key) as api:
            seen[f"status for {key}"] = api.get("/jobs").status_code
    with service.client(None) as reader:
        answer = reader.get(page, follow_redirects=True)
        assert answer.status_code == 200
        # Numbers, messages and values; the page has the time of the request too.
        seen["page"] = re.findall(r"[\d.]+ %|Sorry\.|Read\.|🙂", answer.text)
    return seen


def run_export(folder: Path, url: str | None, file: Path) -> dict[str, int]:
    """Run `export`; return the printed counts."""
    return counts_of(
        command_here("export", str(file), environment=variables_of(folder, url))
    )


def counts_of(result: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Check that `export` or `import` succeeded; return the printed counts."""
    assert result.returncode == 0, result.stderr
    rows = (line.split("\t") for line in result.stdout.splitlines())
    return {name: int(count) for name, count in rows}


def count_stored(folder: Path, url: str | None) -> dict[str, int]:
    """Return the number of rows of each table of a database."""
    with closing(open_store(storage_from({}, variables_of(folder, url)))) as store:
        return store.read(count_rows)


def new_target(folder: Path, url: str | None, source: Exported) -> dict[str, str]:
    """Make an empty database with the pepper of a source; return its variables."""
    shutil.copy(source.folder / "pepper", folder)
    variables = variables_of(folder, url)
    open_store(storage_from({}, variables), migrate=True).close()
    return variables


def run_import(variables: dict[str, str], file: Path) -> dict[str, int]:
    """Run `import`; return the printed counts."""
    return counts_of(command_here("import", str(file), environment=variables))


def failed_import(variables: dict[str, str], file: Path) -> str:
    """Run an import that fails; return its error."""
    return error_line(command_here("import", str(file), environment=variables))


def command_with_two_rows(
    *arguments: str, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process with pages and batches of at most two rows."""
    prelude = SMALL_BATCHES.replace("7", "2")
    return command(*arguments, environment=environment, prelude=prelude)


def lines_of(file: Path) -> list[Any]:
    """Return the JSON values of the lines of an export."""
    with gzip.open(file, "rb") as lines:
        return [json.loads(line) for line in lines]


def write_lines(file: Path, lines: list[Any]) -> None:
    """Write an export with any lines."""
    with gzip.open(file, "wt", encoding="utf-8") as output:
        output.writelines(f"{json.dumps(line)}\n" for line in lines)


def assert_equal_databases(source: Exported, folder: Path, url: str | None) -> None:
    """Check that a database has exactly the rows of an export."""
    again = folder / f"{new_name()}.export"
    run_export(folder, url, again)
    assert lines_of(again) == lines_of(source.file)


def test_imported_backend_answers_as_before(
    tmp_path: Path, exported: Exported, database_url: str | None
) -> None:
    """After the import, old keys and links work and show the same jobs and events."""
    variables = new_target(tmp_path, database_url, exported)
    counts = run_import(variables, exported.file)
    assert counts == count_stored(tmp_path, database_url)
    assert set(counts) == set(metadata.tables) - {"peppers"}
    unused = {"audit_log", "erased_jobs"}
    assert all(counts[name] for name in set(counts) - unused), counts
    assert_equal_databases(exported, tmp_path, database_url)
    with closing(open_store(storage_from({}, variables))) as store:
        assert_states_equal_refolds(store)
    running = serve_existing(tmp_path, exported.keys, database_url)
    with running as (_process, service):
        assert responses(service, exported.page) == exported.seen


def test_new_rows_get_ids_after_imported_rows(
    tmp_path: Path, exported: Exported, database_url: str | None
) -> None:
    """An imported backend creates rows of each table and records new events."""
    variables = new_target(tmp_path, database_url, exported)
    before = run_import(variables, exported.file)
    create = ("key", "create", "--provider", "Three", "--label", "new")
    assert command_here(*create, environment=variables).returncode == 0
    running = serve_existing(tmp_path, exported.keys, database_url)
    with running as (_process, service), service.client() as api:
        old = exported.seen["all"]["jobs"]
        assert api.post("/customers", json={}).json()["id"] > CUSTOMER
        key = {"label": "new", "scopes": ["read"]}
        assert api.post("/api-keys", json=key).status_code == 201
        fresh = new_job(api)
        assert fresh["id"] > max(job["id"] for job in old)
        link = api.post(f"/jobs/{fresh['id']}/share-links", json={})
        assert link.status_code == 201
        for job in (fresh, *old):
            count = len(stored_ids(api, job))
            report(api, job, kind="info", detail="after the import")
            assert len(stored_ids(api, job)) == count + 1
    after = count_stored(tmp_path, database_url)
    assert after["providers"] == before["providers"] + 1
    assert after["api_keys"] == before["api_keys"] + 2
    assert after["job_configurations"] == before["job_configurations"] + 1


def test_killed_import_continues(
    tmp_path: Path, exported: Exported, database_url: str | None
) -> None:
    """After `kill -9` in the middle, a second import completes the database."""
    variables = new_target(tmp_path, database_url, exported)
    stored = sum(kill_import(tmp_path, database_url, exported.file).values())
    assert 11 <= stored < sum(transfer_counts(exported.file).values())
    run_import(variables, exported.file)
    assert_equal_databases(exported, tmp_path, database_url)
    # A third import finds all rows and changes nothing.
    import_ = ("import", str(exported.file))
    counts_of(command(*import_, environment=variables, prelude=SMALL_BATCHES))
    assert_equal_databases(exported, tmp_path, database_url)


def kill_import(folder: Path, url: str | None, file: Path) -> dict[str, int]:
    """Kill an import before the commit of its twelfth batch; return the counts."""
    result = command(
        "import",
        str(file),
        environment=variables_of(folder, url),
        prelude=KILL_AT_BATCH % 12,
    )
    assert result.returncode == -signal.SIGKILL, result.stderr
    return count_stored(folder, url)


def transfer_counts(file: Path) -> dict[str, int]:
    """Return the counts in the last line of an export."""
    with open_export(file) as opened:
        return opened.counts


def cut(content: bytes) -> bytes:
    """Return all but the last 40 bytes."""
    return content[:-40]


def cut_to_half(content: bytes) -> bytes:
    """Return the first half."""
    return content[: len(content) // 2]


def flip_a_bit(content: bytes) -> bytes:
    """Return the content with one other bit in the middle."""
    middle = len(content) // 2
    changed = bytes([content[middle] ^ 4])
    return content[:middle] + changed + content[middle + 1 :]


def drop_last_line(content: bytes) -> bytes:
    """Return a valid gzip file without the last line."""
    lines = gzip.decompress(content).splitlines(keepends=True)
    return gzip.compress(b"".join(lines[:-1]))


def drop_a_value(content: bytes) -> bytes:
    """Return a valid gzip file, in which the row of a provider lacks a value."""
    return gzip.compress(gzip.decompress(content).replace(b'[1,"One",', b"[1,", 1))


def drop_a_row(content: bytes) -> bytes:
    """Return a valid gzip file without the row of the second provider."""
    lines = gzip.decompress(content).splitlines(keepends=True)
    return gzip.compress(b"".join(lines[:3] + lines[4:]))


def add_a_line(content: bytes) -> bytes:
    """Return a valid gzip file with a line after the last line."""
    return gzip.compress(gzip.decompress(content) + b"[1]\n")


def repeat(content: bytes) -> bytes:
    """Return the file followed by itself, which is a valid gzip file."""
    return content + content


def add_a_byte(content: bytes) -> bytes:
    """Return the file followed by a byte."""
    return content + b"x"


def nothing(_content: bytes) -> bytes:
    """Return an empty file."""
    return b""


def plain(content: bytes) -> bytes:
    """Return the content without compression."""
    return gzip.decompress(content)


def other_json(_content: bytes) -> bytes:
    """Return a gzip file with other JSON."""
    return gzip.compress(b"[1]\n{}\n")


def damage_peppers(content: bytes) -> bytes:
    """Return a valid gzip file with a number in place of the list of peppers."""
    header, *lines = gzip.decompress(content).splitlines(keepends=True)
    changed = json.dumps({**json.loads(header), "peppers": 5}).encode() + b"\n"
    return gzip.compress(changed + b"".join(lines))


@pytest.mark.parametrize(
    "damage",
    [
        damage_peppers,
        *(cut, cut_to_half, flip_a_bit, drop_last_line, drop_a_value, drop_a_row),
        *(add_a_line, repeat, add_a_byte, nothing, plain, other_json),
    ],
)
def test_damaged_file_is_one_error(
    tmp_path: Path, exported: Exported, damage: Callable[[bytes], bytes]
) -> None:
    """A damaged, short or long file causes one error, and no row is stored."""
    variables = new_target(tmp_path, None, exported)
    file = tmp_path / "damaged.export"
    file.write_bytes(damage(exported.file.read_bytes()))
    message = f"{file} is damaged, incomplete or not an export"
    assert message in failed_import(variables, file)
    assert not any(count_stored(tmp_path, None).values())


def test_good_file_completes_an_import_after_a_damaged_file(
    tmp_path: Path, exported: Exported, database_url: str | None
) -> None:
    """A damaged file changes nothing of an interrupted import; a good file ends it."""
    variables = new_target(tmp_path, database_url, exported)
    stored = kill_import(tmp_path, database_url, exported.file)
    assert any(stored.values())
    file = tmp_path / "cut.export"
    file.write_bytes(cut(exported.file.read_bytes()))
    assert "is damaged" in failed_import(variables, file)
    assert count_stored(tmp_path, database_url) == stored
    run_import(variables, exported.file)
    assert_equal_databases(exported, tmp_path, database_url)


def test_import_refuses_another_pepper(tmp_path: Path, exported: Exported) -> None:
    """With another pepper, or without one, nothing is imported."""
    variables = variables_of(tmp_path)
    assert command_here("migrate", environment=variables).returncode == 0
    assert "is missing: copy it" in failed_import(variables, exported.file)
    (tmp_path / "pepper").write_text("x" * 64)
    error = failed_import(variables, exported.file)
    assert "is not the pepper of the database in" in error
    assert "x" * 64 not in error
    assert not any(count_stored(tmp_path, None).values())


def test_file_has_no_secret(exported: Exported) -> None:
    """An export contains neither the pepper nor the secret part of any key."""
    content = gzip.decompress(exported.file.read_bytes()).decode()
    key_ids = [key.split("_")[1] for key in exported.keys.values()]
    assert all(each in content for each in key_ids)
    secrets = [key.split("_")[2] for key in exported.keys.values()]
    secrets.append((exported.folder / "pepper").read_text())
    assert not [each for each in secrets if each in content]


def test_other_schema_is_refused(tmp_path: Path, exported: Exported) -> None:
    """The error for another schema of the file or database names `migrate`."""
    shutil.copy(exported.folder / "pepper", tmp_path)
    variables = variables_of(tmp_path)
    (tmp_path / "backend.db").touch()
    error = failed_import(variables, exported.file)
    assert "has no schema" in error
    assert "trackerapi-backend migrate" in error
    assert command_here("migrate", environment=variables).returncode == 0
    file = tmp_path / "old.export"
    header, *rows = lines_of(exported.file)
    write_lines(file, [{**header, "schema": "0004"}, *rows])
    error = failed_import(variables, file)
    assert f"{file} has schema 0004, this release needs" in error
    assert "trackerapi-backend migrate" in error
    for newer, found in (({"version": 2}, "format 2"), ({"schema": "9999"}, "schema")):
        write_lines(file, [{**header, **newer}, *rows])
        error = failed_import(variables, file)
        assert f"{file} has {found}" in error
        assert "made by a newer release: install that release" in error
    assert not any(count_stored(tmp_path, None).values())


def test_rows_of_another_installation_are_refused(
    tmp_path: Path, exported: Exported, database_url: str | None
) -> None:
    """A database with a row that is not in the file stays as it is."""
    shutil.copy(exported.folder / "pepper", tmp_path)
    keys = prepare(tmp_path, database_url)
    variables = variables_of(tmp_path, database_url)
    before = count_stored(tmp_path, database_url)
    error = failed_import(variables, exported.file)
    assert error.startswith("providers (id 1) of the database is not in the file")
    assert keys["all"] not in error
    assert count_stored(tmp_path, database_url) == before


@pytest.mark.parametrize("table", ["customers", "share_links"])
def test_additional_row_is_refused(
    tmp_path: Path, exported: Exported, database_url: str | None, table: str
) -> None:
    """A row after the rows of the file is refused, in a full or an empty database."""
    variables = new_target(tmp_path, database_url, exported)
    if table == "share_links":
        run_import(variables, exported.file)
    storage = storage_from({}, variables)
    with closing(open_store(storage)) as store, store.transaction() as db:
        if table == "share_links":
            insert_copy(db, table, {"id": 99, "token_hash": b"x" * 32})
        else:
            stored = {"id": 5, "name": "Other", "created_at": utc_now()}
            db.execute(metadata.tables["providers"].insert().values(stored))
    before = count_stored(tmp_path, database_url)
    error = failed_import(variables, exported.file)
    assert "not in the file" in error
    assert "import into a new database" in error
    assert count_stored(tmp_path, database_url) == before


def transfer_table(name: str) -> transfer.TransferTable:
    """Return a table by its name."""
    return next(table for table in TABLES if table.name == name)


def insert_copy(db: Connection, name: str, changed: dict[str, Any]) -> None:
    """Store a copy of a row of a table, with some other values."""
    table = metadata.tables[name]
    row = db.execute(table.select()).first()
    assert row is not None
    db.execute(table.insert().values({**row._asdict(), **changed}))


def test_changed_row_names_table_and_key(
    tmp_path: Path, exported: Exported, database_url: str | None
) -> None:
    """A stored row with other values causes one error with its table and key."""
    variables = new_target(tmp_path, database_url, exported)
    run_import(variables, exported.file)
    events = metadata.tables["events"]
    with closing(open_store(storage_from({}, variables))) as store:
        with store.transaction() as db:
            job_id = db.execute(events.select().limit(1)).one().job_id
            is_second = (events.c.job_id == job_id) & (events.c.sequence == 2)
            db.execute(events.update().where(is_second).values(detail="other"))
    error = failed_import(variables, exported.file)
    assert error.startswith(f"events (job_id {job_id}, sequence 2) of the database")


def test_rejected_row_names_table_and_key(
    tmp_path: Path, exported: Exported, database_url: str | None
) -> None:
    """A row that breaks a rule of the database causes one error, without its values."""
    variables = new_target(tmp_path, database_url, exported)
    lines = lines_of(exported.file)
    start = next(
        index
        for index, line in enumerate(lines)
        if isinstance(line, dict) and line.get("table") == "share_links"
    )
    columns = lines[start]["columns"]
    token_hash = columns.index("token_hash")
    lines[start + 2][token_hash] = lines[start + 1][token_hash]
    file = tmp_path / "changed.export"
    write_lines(file, lines)
    error = failed_import(variables, file)
    assert f"share_links (id {lines[start + 2][0]}) of the file is rejected" in error
    assert lines[start + 1][token_hash] not in error
    run_import(variables, exported.file)
    assert_equal_databases(exported, tmp_path, database_url)


@pytest.mark.parametrize(
    "created_at",
    [2**70, "\ud800", {"a": 1}, None],
    ids=["integer", "surrogate", "object", "null"],
)
def test_value_that_no_column_can_store_is_one_error(
    tmp_path: Path, exported: Exported, database_url: str | None, created_at: object
) -> None:
    """A value of a changed file that the driver cannot send causes one error."""
    variables = new_target(tmp_path, database_url, exported)
    header, table, row, *rest = lines_of(exported.file)
    row[table["columns"].index("created_at")] = created_at
    file = tmp_path / "changed.export"
    write_lines(file, [header, table, row, *rest])
    error = failed_import(variables, file)
    assert error.startswith("providers (id 1) of the file is rejected by the database")
    assert not any(count_stored(tmp_path, database_url).values())


def test_interrupted_command_fails(tmp_path: Path, exported: Exported) -> None:
    """Ctrl-C ends `export` and `import` with an error; `export` leaves no file."""
    variables = new_target(tmp_path, None, exported)
    file = tmp_path / "x.export"
    result = command(
        "export",
        str(file),
        environment=variables_of(exported.folder, exported.url),
        prelude=INTERRUPT % "read_pages",
    )
    assert error_line(result) == f"interrupted: {file} was not written"
    assert not list(tmp_path.glob("x.export*"))
    result = command(
        "import",
        str(exported.file),
        environment=variables,
        prelude=INTERRUPT % "insert",
    )
    assert "run the same import again" in error_line(result)


def test_file_is_private_and_new(tmp_path: Path, exported: Exported) -> None:
    """The file has mode 0600, and no second export replaces it."""
    assert stat.S_IMODE(exported.file.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR
    variables = variables_of(exported.folder, exported.url)
    before = exported.file.read_bytes()
    result = command_here("export", str(exported.file), environment=variables)
    assert f"{exported.file} exists" in error_line(result)
    assert exported.file.read_bytes() == before
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "missing")
    result = command_here("export", str(link), environment=variables)
    assert f"{link} exists" in error_line(result)
    result = command_here("export", str(tmp_path / "no" / "x"), environment=variables)
    assert "cannot be written (No such file or directory)" in error_line(result)
    assert list(tmp_path.iterdir()) == [link]
    assert not list(exported.folder.glob("*.new"))


def test_export_replaces_the_file_of_a_killed_export(
    tmp_path: Path, exported: Exported
) -> None:
    """The file that a killed export leaves behind is replaced by the next export."""
    file, leftover = tmp_path / "x.export", tmp_path / "x.export.new"
    variables = variables_of(exported.folder, exported.url)
    killed = command(
        "export", str(file), environment=variables, prelude=KILL_AT_SHARE_LINKS
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert list(tmp_path.iterdir()) == [leftover]
    # A larger export would have left more bytes than the next export writes.
    leftover.write_bytes(b"x" * 1_000_000)
    leftover.chmod(0o644)
    run_export(exported.folder, exported.url, file)
    assert list(tmp_path.iterdir()) == [file]
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR
    assert lines_of(file) == lines_of(exported.file)


def test_two_exports_to_one_name_do_not_mix(tmp_path: Path, exported: Exported) -> None:
    """While an export writes a file, another export to the same name fails."""
    file, fresh = tmp_path / "x.export", tmp_path / "x.export.new"
    variables = variables_of(exported.folder, exported.url)
    with fresh.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        result = command_here("export", str(file), environment=variables)
    assert f"another command writes {fresh}" in error_line(result)
    assert list(tmp_path.iterdir()) == [fresh]


@pytest.mark.parametrize("name", ["export", "import"])
def test_standard_streams_are_rejected(tmp_path: Path, name: str) -> None:
    """The file `-` is a usage error: neither a terminal nor a file gets an export."""
    prepare(tmp_path)
    before = sorted(tmp_path.iterdir())
    result = command_here(name, "-", environment=variables_of(tmp_path))
    assert result.returncode == 2
    assert result.stdout == ""
    assert "standard input and output are not supported: name a file" in result.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_database_without_keys_needs_no_pepper(
    tmp_path: Path, database_url: str | None
) -> None:
    """`migrate`, `export` and `import` need no pepper file before the first key."""
    source, target = tmp_path / "source", tmp_path / "target"
    for folder, url in ((source, database_url), (target, None)):
        folder.mkdir()
        migrated = command_here("migrate", environment=variables_of(folder, url))
        assert migrated.returncode == 0, migrated.stderr
    variables = variables_of(source, database_url)
    customer = ("customer", "create", "--provider", "One", "--id", "142")
    assert command_here(*customer, environment=variables).returncode == 0
    file = tmp_path / "x.export"
    counts = run_export(source, database_url, file)
    assert (counts["customers"], counts["api_keys"]) == (1, 0)
    assert run_import(variables_of(target), file) == counts
    assert not list(tmp_path.glob("*/pepper"))


def test_full_disk_leaves_no_file(tmp_path: Path, exported: Exported) -> None:
    """An export to a full disk causes one error and leaves no part of a file."""
    with small_disk(tmp_path / "disk") as disk:
        filler = disk / "filler"
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, SMALL_DISK_BYTES - 4096)
        result = command_here(
            "export",
            str(disk / "x.export"),
            environment=variables_of(exported.folder, exported.url),
        )
        assert "cannot be written (No space left on device)" in error_line(result)
        assert list(disk.iterdir()) == [filler]


@pytest.mark.parametrize("name", ["missing", "folder", "pipe"])
def test_import_of_no_regular_file_is_one_error(
    tmp_path: Path, exported: Exported, name: str
) -> None:
    """A missing file, a folder and a pipe are errors; none of them blocks."""
    variables = new_target(tmp_path, None, exported)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    error = failed_import(variables, tmp_path / name)
    assert error.startswith(str(tmp_path / name))


def test_import_beside_sqlite_server_fails(tmp_path: Path) -> None:
    """With SQLite, `import` fails while a server has the file."""
    keys = prepare(tmp_path)
    variables = variables_of(tmp_path)
    file = str(tmp_path / "first")
    assert command_here("export", file, environment=variables).returncode == 0
    with serve_existing(tmp_path, keys):
        error = error_line(command("import", file, environment=variables))
    assert "is in use by another trackerapi-backend" in error


def test_export_beside_postgres_server_is_one_snapshot(
    tmp_path: Path, postgres: str
) -> None:
    """An export while jobs report has the state of exactly the exported events."""
    with new_database(postgres) as url, new_database(postgres) as other_url:
        keys = prepare(tmp_path, url)
        file = tmp_path / "x.export"
        with serve_existing(tmp_path, keys, url) as (process, service):
            with report_from_threads(service) as threads:
                for thread in threads:
                    assert thread.enough.wait(MAX_WAIT_SECONDS)
                run_export(tmp_path, url, file)
                process.terminate()
            process.wait(MAX_WAIT_SECONDS)
        folder = tmp_path / "other"
        folder.mkdir()
        shutil.copy(tmp_path / "pepper", folder)
        variables = variables_of(folder, other_url)
        assert command_here("migrate", environment=variables).returncode == 0
        counts = run_import(variables, file)
        assert counts["jobs"] == len(threads)
        with closing(open_store(storage_from({}, variables))) as store:
            assert_states_equal_refolds(store)


def test_batches_are_small_and_complete(tmp_path: Path) -> None:
    """A page or batch has at most 1,000 rows for any number of events."""
    variables = variables_of(tmp_path)
    prepare(tmp_path)
    names = metadata.tables["customers"].c.keys()
    given = {"provider_id": 1, "created_at": 0}
    customers = transfer_table("customers")
    rows = [
        [{**given, "id": number}.get(name) for name in names]
        for number in range(1000, 3500)
    ]
    with closing(open_store(storage_from({}, variables))) as store:
        with store.transaction() as db:
            customers.insert(db, rows)
        pages = store.read(lambda db: [len(page) for page in customers.read_pages(db)])
    assert sum(pages) == 2502
    assert max(pages) == transfer.MAX_ROWS == 1000
    file = tmp_path / "x.export"
    run_export(tmp_path, None, file)
    with open_export(file) as opened:
        batches = list(opened.batches())
    of_customers = [
        len(batch.rows) for batch in batches if batch.table.name == "customers"
    ]
    assert of_customers == pages


def test_order_of_keys_does_not_depend_on_the_language(
    tmp_path: Path, exported: Exported, postgres: str
) -> None:
    """Texts in keys are compared by bytes, also in a database of another language."""
    with new_database(postgres) as url:
        variables = new_target(tmp_path, url, exported)
        with psycopg.connect(url) as db:
            for name in ("tag", "name"):
                db.execute(
                    f"ALTER TABLE customer_values ALTER COLUMN {name}"
                    ' TYPE varchar(100) COLLATE "en-x-icu"'
                )
        for run in (command_here, command_with_two_rows):
            counts_of(run("import", str(exported.file), environment=variables))
            file = tmp_path / f"{new_name()}.export"
            counts_of(run("export", str(file), environment=variables))
            assert lines_of(file) == lines_of(exported.file)
