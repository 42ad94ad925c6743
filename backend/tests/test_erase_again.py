"""Erasures of a file, applied again after a restored backup."""

from __future__ import annotations

import asyncio
import resource
import shlex
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from trackerapi_backend.cli.database import open_store
from trackerapi_backend.cli.own_services import running_services
from trackerapi_backend.instants import utc_now
from trackerapi_backend.jobs.erasing_again import ErasedAgain, erase_again
from trackerapi_backend.pepper import PepperFile
from trackerapi_backend.settings import storage_from
from trackerapi_backend.store import StoreError, erasures_file
from trackerapi_backend.store.erasures_file import ErasuresFile, read_erasures

from backend.tests.support.service import (
    CUSTOMER,
    MAX_WAIT_SECONDS,
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
    import httpx

# Lines of releases that named no installation.
erased_job = partial(erasures_file.erased_job, installation=None)
erased_customer = partial(erasures_file.erased_customer, installation=None)
EVENT = {"kind": "progress", "tag": "load", "completed": 1, "total": 2}


def statuses(api: httpx.Client, jobs: list[dict[str, Any]]) -> list[int]:
    """Return the status of the answer to a repeated creation of each job."""
    members = ("provider_job_id", "customer_id", "tag")
    return [
        api.post("/jobs", json={name: job[name] for name in members}).status_code
        for job in jobs
    ]


def test_rows_that_are_back_are_erased_again(
    tmp_path: Path, database_url: str | None
) -> None:
    """Jobs are found by id or by name, customers by id and age; other rows stay."""
    keys = prepare(tmp_path, database_url)
    pepper = PepperFile(tmp_path / "pepper").read()
    later = utc_now() + timedelta(days=1)
    file = ErasuresFile(tmp_path / "copied")
    with (
        serve_existing(tmp_path, keys, database_url) as (process, service),
        service.client() as api,
    ):
        old, new = (api.post("/customers", json={}).json()["id"] for _ in range(2))
        owners = (CUSTOMER, CUSTOMER, CUSTOMER, old, new)
        jobs = [new_job(api, customer_id=owner) for owner in owners]
        for job in jobs:
            report(api, job, **EVENT)
        name_hmac = pepper.hash_job_name(1, jobs[1]["provider_job_id"])
        file.append(erased_job(1, jobs[0]["id"], b"?" * 32, now=later))
        file.append(erased_job(1, 7, name_hmac, now=later))
        file.append(erased_job(99, jobs[2]["id"], b"!" * 32, now=later))
        file.append(erased_customer(1, old, now=later))
        # Another customer has got the id of an erased customer.
        file.append(erased_customer(1, new, now=later - timedelta(days=2)))
        process.terminate()
        process.wait(MAX_WAIT_SECONDS)
    again = ("doctor", "--erase-again", str(tmp_path / "copied"))
    variables = variables_of(tmp_path, database_url)
    for expected in ("3 jobs, 1 customers", "0 jobs, 0 customers"):
        done = command_here(*again, environment=variables)
        assert done.stdout == f"erased again\t{expected}\n", done.stderr
    with (
        serve_existing(tmp_path, keys, database_url) as (_process, service),
        service.client() as api,
    ):
        assert statuses(api, jobs) == [410, 410, 200, 410, 200]
        assert api.get(f"/customers/{old}").status_code == 404


def test_customers_that_others_erase_meanwhile_are_skipped(
    tmp_path: Path, database_url: str | None
) -> None:
    """Two runs at the same time succeed; each customer and job counts in one run."""
    keys = prepare(tmp_path, database_url)
    with (
        serve_existing(tmp_path, keys, database_url) as (_process, service),
        service.client() as api,
    ):
        ids = [api.post("/customers", json={}).json()["id"] for _ in range(6)]
        for customer_id in ids:
            new_job(api, customer_id=customer_id)
    later = utc_now() + timedelta(days=1)
    lines = [erased_customer(1, customer_id, now=later) for customer_id in ids]
    storage = storage_from({}, variables_of(tmp_path, database_url))

    async def erase_twice() -> tuple[ErasedAgain, ErasedAgain]:
        with closing(open_store(storage)) as store:
            async with running_services(storage, store) as services:
                # Both runs find each customer before one of them hides the customer.
                return await asyncio.gather(
                    erase_again(services, lines), erase_again(services, lines)
                )

    one, other = asyncio.run(erase_twice())
    assert one.customers + other.customers == len(ids)
    assert one.jobs + other.jobs == len(ids)


def test_restore_erases_again(tmp_path: Path) -> None:
    """`restore` applies the file of erasures to the database that it has placed."""
    keys, variables = prepare(tmp_path), variables_of(tmp_path)
    with serve_existing(tmp_path, keys) as (_process, service), service.client() as api:
        jobs = [new_job(api) for _ in range(2)]
        backup = command_here("backup", str(tmp_path / "saved"), environment=variables)
        assert backup.returncode == 0, backup.stderr
        assert api.delete(f"/jobs/{jobs[0]['id']}").json()["backups"] == ["saved"]
    restore = ("restore", "--move-aside", str(tmp_path / "saved"))
    restored = command_here(*restore, environment=variables)
    assert restored.stdout.splitlines()[-1] == "erased again\t1 jobs, 0 customers"
    with serve_existing(tmp_path, keys) as (_process, service), service.client() as api:
        assert statuses(api, jobs) == [410, 200]
        erased = ("job", "erase", "--yes", str(jobs[1]["id"]))
        printed = command_here(*erased, environment=variables).stdout.splitlines()
    copies = [tmp_path / name for name in ("backend.db.before-restore", "saved")]
    assert {"jobs\t1", *(f"backup\t{copy}" for copy in copies)} <= {*printed}


FULL_DISK = """
from trackerapi_backend.store import StoreError, erasure
def fail(*_arguments, **_options):
    raise StoreError("the disk is full", cause="the disk is full")
erasure.hide_customer = fail
"""
INTERRUPT = """
import os, signal
from trackerapi_backend.store import erasure
erasure.list_providers = lambda _db: os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.mark.parametrize(
    "prelude", [FULL_DISK, INTERRUPT], ids=["full disk", "interrupt"]
)
def test_restore_that_cannot_erase_again_names_the_command(
    tmp_path: Path, prelude: str
) -> None:
    """If the erasures fail after the restore, the printed command applies them."""
    prepare(tmp_path)
    variables, saved = variables_of(tmp_path), str(tmp_path / "saved")
    command_here("backup", saved, environment=variables).check_returncode()
    erase = ("customer", "erase", "--yes", str(CUSTOMER))
    command_here(*erase, environment=variables).check_returncode()
    restore = ("restore", "--move-aside", saved)
    line = error_line(command(*restore, environment=variables, prelude=prelude))
    assert line.startswith(f"{tmp_path / 'backend.db'} is restored, but has jobs")
    printed = shlex.split(line.split("`")[1])
    again = command_here(*printed[1:], environment=variables)
    assert again.stdout == "erased again\t0 jobs, 1 customers\n"


PUBLISH = """
import os, signal
from trackerapi_backend.store.new_file import NewFile
publish = NewFile.publish
def interrupt(self):
    {before}
    os.kill(os.getpid(), signal.SIGINT)
NewFile.publish = interrupt
"""


@pytest.mark.parametrize("before", ["pass", "publish(self)"])
def test_interrupted_restore_leaves_the_existing_files(
    tmp_path: Path, before: str
) -> None:
    """Ctrl-C between the renaming and the new files puts the renamed files back."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for folder in (here, elsewhere):
        folder.mkdir()
        prepare(folder)
    saved, variables = str(tmp_path / "saved"), variables_of(here)
    backup = command_here("backup", saved, environment=variables_of(elsewhere))
    assert backup.returncode == 0, backup.stderr
    files = {path.name: path.read_bytes() for path in here.iterdir()}
    restore = ("restore", "--move-aside", saved)
    prelude = PUBLISH.format(before=before)
    line = error_line(command(*restore, environment=variables, prelude=prelude))
    assert line == f"interrupted: {here / 'backend.db'} was not restored"
    assert {path.name: path.read_bytes() for path in here.iterdir()} == files


def test_command_after_a_restore_names_the_files_of_the_restore(
    tmp_path: Path,
) -> None:
    """Options that named the files are in the printed command: no variable has them."""
    prepare(tmp_path)
    variables, saved = variables_of(tmp_path), str(tmp_path / "saved")
    command_here("backup", saved, environment=variables).check_returncode()
    erase = ("customer", "erase", "--yes", str(CUSTOMER))
    command_here(*erase, environment=variables).check_returncode()
    files = (
        "--database",
        str(tmp_path / "new.db"),
        "--pepper-file",
        str(tmp_path / "s"),
    )
    erasures = {
        name: text for name, text in variables.items() if name.endswith("ERASURES_FILE")
    }
    restore = ("restore", saved, *files)
    line = error_line(command(*restore, environment=erasures, prelude=FULL_DISK))
    printed = shlex.split(line.split("`")[1])
    again = command_here(*printed[1:], environment=erasures)
    assert again.stdout == "erased again\t0 jobs, 1 customers\n"
    Path(erasures["TRACKERAPI_BACKEND_ERASURES_FILE"]).unlink()
    restored = command_here(*restore, "--move-aside", environment=erasures)
    assert shlex.join(files) in restored.stdout.splitlines()[-1]


def test_id_of_a_customer_that_is_newer_than_the_backup_stays_closed(
    tmp_path: Path, database_url: str | None
) -> None:
    """The file of erasures closes the ids of customers that a backup does not have."""
    prepare(tmp_path, database_url)
    variables = variables_of(tmp_path, database_url)
    file = ErasuresFile(tmp_path / "copied")
    file.append(erased_customer(1, 77, now=utc_now()))
    again = ("doctor", "--erase-again", str(tmp_path / "copied"))
    for _ in range(2):
        done = command_here(*again, environment=variables)
        assert done.stdout == "erased again\t0 jobs, 0 customers\n", done.stderr
    created = command_here("customer", "create", "--id", "77", environment=variables)
    assert error_line(created).startswith("customer 77 was erased at ")
    listed = command_here("audit", "--all", environment=variables)
    assert listed.stdout.count("erase_customer") == 1


def test_restore_without_a_pepper_names_the_command(tmp_path: Path) -> None:
    """If a missing pepper prevents the erasures, the error says what was restored."""
    variables, saved = variables_of(tmp_path), str(tmp_path / "saved")
    command_here("migrate", environment=variables).check_returncode()
    command_here("backup", saved, environment=variables).check_returncode()
    lines = ErasuresFile(tmp_path / "erasures")
    lines.append(erased_customer(1, CUSTOMER, now=utc_now()))
    restore = ("restore", "--move-aside", saved)
    line = error_line(command_here(*restore, environment=variables))
    database = tmp_path / "backend.db"
    assert line.startswith(f"{database} is restored, but has jobs"), line
    assert "pepper" in line
    assert f"--database {database}" in line


def test_erasures_of_another_installation_are_skipped(tmp_path: Path) -> None:
    """A backup that is restored where another database was keeps all its customers."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for folder in (here, elsewhere):
        folder.mkdir()
        prepare(folder)
    saved = str(tmp_path / "saved")
    backup = command_here("backup", saved, environment=variables_of(elsewhere))
    assert backup.returncode == 0, backup.stderr
    variables = variables_of(here)
    erased = ("customer", "erase", "--yes", str(CUSTOMER))
    assert command_here(*erased, environment=variables).returncode == 0
    restored = command_here("restore", "--move-aside", saved, environment=variables)
    again, skipped = restored.stdout.splitlines()[-2:]
    assert again == "erased again\t0 jobs, 0 customers"
    assert skipped.startswith("skipped\t1 erasures of another installation")
    listed = command_here("customer", "list", environment=variables)
    assert str(CUSTOMER) in listed.stdout


GOOD = (
    '{"at":"2026-01-01T00:00:00Z","provider_id":1,"kind":"customer","customer_id":142}'
)


@pytest.mark.parametrize(
    "line",
    [
        "x",
        GOOD[:-1],
        '{"x":' * 10_000,
        GOOD.replace("00:00Z", "00:00"),
        GOOD.replace('"customer"', '"provider"'),
        GOOD.replace("customer_id", "job_id"),
        GOOD.replace("142", '"142"'),
        GOOD.replace("142", "-1"),
        GOOD.replace("142", str(2**63)),
        GOOD.replace('_id":1', f'_id":{2**64}'),
        '{"at":"2026-01-01T00:00:00Z","provider_id":1,"kind":"job","job_id":1,'
        '"name_hmac":"00"}',
        "\udcff",
    ],
)
def test_damaged_file_is_one_error_and_changes_nothing(
    tmp_path: Path, line: str
) -> None:
    """A damaged line is named by its number, also by `restore`; nothing is erased."""
    prepare(tmp_path)
    file = tmp_path / "erasures"
    file.write_bytes(f"{GOOD}\n\n{line}\n".encode(errors="surrogateescape"))
    variables = variables_of(tmp_path)
    again = ("doctor", "--erase-again", str(file))
    restore = ("restore", "--move-aside", str(tmp_path / "missing"))
    for arguments in (again, restore):
        done = command_here(*arguments, environment=variables)
        assert error_line(done).startswith(f"line 3 of {file} is damaged")
    listed = command_here("customer", "list", environment=variables)
    assert str(CUSTOMER) in listed.stdout


@pytest.mark.parametrize("kind", ["folder", "missing", "pepper", "backend.db"])
def test_other_file_is_one_error(tmp_path: Path, kind: str) -> None:
    """A file that lists no erasures is named with the fix, and nothing is erased."""
    prepare(tmp_path)
    (tmp_path / "folder").mkdir()
    file = tmp_path / kind
    again = ("doctor", "--erase-again", str(file))
    done = command_here(*again, environment=variables_of(tmp_path))
    assert f"{file} " in (line := error_line(done))
    assert ": name the file of " in line


def test_line_after_a_cut_line_is_complete(tmp_path: Path) -> None:
    """A line that a crash has cut off does not damage the next line."""
    path = tmp_path / "erasures"
    path.write_text(f"{GOOD}\n{GOOD[:20]}")
    ErasuresFile(path).append(erased_customer(1, 7, now=utc_now()))
    first, cut, last = path.read_text().splitlines()
    assert (first, cut) == (GOOD, GOOD[:20])
    assert '"customer_id":7' in last


def test_failed_append_leaves_no_part_of_a_line(tmp_path: Path) -> None:
    """A line that a full disk cuts off would prevent each later restore."""
    path = tmp_path / "erasures"
    path.write_text(f"{GOOD}\n")
    erased = erased_customer(1, 7, now=utc_now())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A limit of the size of files fails in the middle of a line, as a full disk does.
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, hard))
    try:
        with pytest.raises(StoreError, match="cannot be written"):
            ErasuresFile(path).append(erased)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == f"{GOOD}\n"
    ErasuresFile(path).append(erased)
    assert [each.customer_id for each in read_erasures(path)] == [CUSTOMER, 7]


def test_backend_without_a_file_of_erasures_erases_nothing() -> None:
    """Without a file of erasures, the error names the variable of the file."""
    with pytest.raises(StoreError, match="set TRACKERAPI_BACKEND"):
        ErasuresFile().append(erased_customer(1, 7, now=utc_now()))
