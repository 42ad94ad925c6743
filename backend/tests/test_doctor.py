"""Command `doctor`: each fault is found, and the printed command fixes it."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import shutil
import sqlite3
import subprocess
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from importlib import metadata as distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from trackerapi_backend.cli.database import open_store
from trackerapi_backend.diagnosis import database, files, machine
from trackerapi_backend.instants import utc_now
from trackerapi_backend.settings import storage_from
from trackerapi_backend.store import sqlite_reading
from trackerapi_backend.store.schema import metadata

from backend.tests.support.disks import make_space, small_disk
from backend.tests.support.postgres import changed_url, new_database
from backend.tests.support.revisions import downgrade, record_newer_revision
from backend.tests.support.service import (
    CUSTOMER,
    MAX_WAIT_SECONDS,
    command_here,
    new_name,
    prepare,
    serve_existing,
    variables_of,
)
from scripts.postgres_server import find_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOREIGN = "f" * 64
NOBODY = 65534
ERASED = (
    '{"at":"2026-01-01T00:00:00Z","provider_id":1,"kind":"customer","customer_id":9}'
)


@dataclass(slots=True)
class Installation:
    """Files and variables of a backend.

    Attributes:
        backup: File of a backup of the healthy database; None with PostgreSQL.
    """

    folder: Path
    url: str | None = None
    backup: Path | None = None
    saved_pepper: Path | None = None
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Set the variables: with SQLite, the path of the database is enough."""
        self.variables = variables_of(self.folder, self.url)
        if self.url is None:
            database = self.variables["TRACKERAPI_BACKEND_DATABASE"]
            self.variables = {"TRACKERAPI_BACKEND_DATABASE": database}

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.folder / "backend.db"

    def faults(self, *options: str) -> list[dict[str, Any]]:
        """Run `doctor`; return the findings that are not `ok`."""
        result = command_here("doctor", "--json", *options, environment=self.variables)
        assert result.stderr == ""
        findings = json.loads(result.stdout)
        assert FOREIGN not in result.stdout
        faults = [each for each in findings if each["level"] != "ok"]
        assert result.returncode == bool(faults)
        assert all(each["command"] for each in faults)
        assert not any(each["command"] for each in findings if each not in faults)
        return faults

    def run(self, printed: str) -> None:
        """Run a printed command as an operator does."""
        file = self.backup if " restore " in printed else self.saved_pepper
        printed = re.sub(r"(?<=[ =])FILE\b", lambda _: shlex.quote(f"{file}"), printed)
        first, _and, rest = printed.partition(" && ")
        if "trackerapi-backend" in rest:
            self.run(first)
            printed = rest
        words = shlex.split(printed)
        if words[0] == "export":
            name, _equals, value = words[1].partition("=")
            self.variables[name] = value
        elif words[0] == "trackerapi-backend":
            command_here(*words[1:], environment=self.variables).check_returncode()
        else:
            run_in_shell(printed)


def run_in_shell(line: str) -> None:
    """Run a line in a shell that finds the programs of PostgreSQL."""
    program = find_program("psql")
    folders = [str(Path(program).parent)] if program else []
    path = os.pathsep.join([os.environ["PATH"], *folders])
    subprocess.run(
        ["sh", "-c", line],
        env=os.environ | {"PATH": path},
        timeout=MAX_WAIT_SECONDS,
        check=True,
        capture_output=True,
    )


def insert_job(folder: Path, url: str | None = None) -> None:
    """Store a job that was created now."""
    now = utc_now()
    row = {
        "id": int(now.timestamp() * 1000) << 12,
        "provider_id": 1,
        "provider_job_id": new_name(),
        "customer_id": CUSTOMER,
        "created_at": now,
        **dict.fromkeys(("tag", "name", "finish", "status"), "x"),
        "metadata": {},
        "state": {},
    }
    storage = storage_from({}, variables_of(folder, url))
    with closing(open_store(storage)) as store, store.transaction() as db:
        db.execute(metadata.tables["jobs"].insert().values(row))


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a healthy installation, and of its backup."""
    folder = tmp_path_factory.mktemp("healthy")
    prepare(folder)
    insert_job(folder)
    file = str(folder / "x.backup")
    command_here("backup", file, environment=variables_of(folder)).check_returncode()
    return folder


@pytest.fixture
def own(tmp_path: Path, healthy: Path) -> Installation:
    """A healthy installation on SQLite."""
    folder = tmp_path / "it's own"
    folder.mkdir(mode=0o700)
    for name in ("backend.db", "pepper"):
        shutil.copy(healthy / name, folder)
    saved = shutil.copy(healthy / "pepper", tmp_path / "saved pepper")
    return Installation(folder, backup=healthy / "x.backup", saved_pepper=saved)


@pytest.fixture
def own_postgres(tmp_path: Path, postgres: str) -> Iterator[Installation]:
    """A healthy installation on PostgreSQL."""
    with new_database(postgres) as url:
        prepare(tmp_path, url)
        insert_job(tmp_path, url)
        saved = shutil.copy(tmp_path / "pepper", tmp_path / "saved pepper")
        yield Installation(tmp_path, url, saved_pepper=saved)


def set_mode(name: str, mode: int) -> Callable[[Installation], None]:
    """Return a function that changes the rights of a file or of the folder."""

    def change(own: Installation) -> None:
        path = own.folder / name
        if name and not path.exists():
            path.touch()
        path.chmod(mode)

    return change


def leave(name: str) -> Callable[[Installation], None]:
    """Return a function that makes an old file."""

    def change(own: Installation) -> None:
        path = own.folder / name
        path.touch(mode=0o600)
        past = time.time() - 2 * files.LEFTOVER_SECONDS
        os.utime(path, (past, past))

    return change


def give_away(name: str) -> Callable[[Installation], None]:
    """Return a function that gives a file to another user."""

    def change(own: Installation) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root can give a file away")
        path = own.folder / name
        if not path.exists():
            path.touch(mode=0o600)
        os.chown(path, NOBODY, -1)

    return change


def replace_by_link(name: str) -> Callable[[Installation], None]:
    """Return a function that moves a file and leaves a link in its place."""

    def change(own: Installation) -> None:
        elsewhere = own.folder.parent / "else where"
        if name == "":
            own.folder.rename(elsewhere)
            own.folder.symlink_to(elsewhere)
            return
        elsewhere.mkdir(mode=0o700)
        for each in ("pepper", name):
            (own.folder / each).rename(elsewhere / each)
            (own.folder / each).symlink_to(elsewhere / each)
            if name == "pepper":
                return
        (own.folder / "pepper").unlink()
        shutil.copy(elsewhere / "pepper", own.folder)

    return change


def add_hard_link(name: str) -> Callable[[Installation], None]:
    """Return a function that gives a file a second name."""

    def change(own: Installation) -> None:
        (own.folder.parent / "second").hardlink_to(own.folder / name)

    return change


def write_pepper(own: Installation) -> None:
    """Replace the pepper with another one."""
    (own.folder / "pepper").write_text(FOREIGN)


def shorten_pepper(own: Installation) -> None:
    """Cut the pepper off."""
    (own.folder / "pepper").write_text("short")


def lose_pepper(own: Installation) -> None:
    """Delete the pepper."""
    (own.folder / "pepper").unlink()


def lose_database(own: Installation) -> None:
    """Delete database and pepper."""
    own.database.unlink()
    lose_pepper(own)


def lose_folder(own: Installation) -> None:
    """Delete the folder of all files."""
    shutil.rmtree(own.folder)


def write_text(own: Installation) -> None:
    """Replace the database with a text."""
    own.database.write_text("this is no database" * 1000)


def damage(own: Installation) -> None:
    """Overwrite the last pages of the database."""
    with own.database.open("r+b") as file:
        file.seek(-3 * 4096, os.SEEK_END)
        file.write(os.urandom(4096 * 3))


def refer_to_nothing(own: Installation) -> None:
    """Store a customer of a provider that does not exist."""
    with closing(sqlite3.connect(own.database)) as db, db:
        db.execute("INSERT INTO customers (provider_id, created_at) VALUES (99, 0)")


def age_schema(own: Installation) -> None:
    """Give the database the schema of an older release."""
    downgrade(own.folder, "0012", own.url)


def empty(own: Installation) -> None:
    """Make the database empty, as after `createdb`."""
    own.database.write_bytes(b"")
    lose_pepper(own)


def grow_log(own: Installation) -> None:
    """Make the write-ahead log large."""
    log = own.folder / "backend.db-wal"
    log.touch(mode=0o600)
    os.truncate(log, files.MAX_LOG_BYTES + 1)


def move_pepper(own: Installation, name: str) -> None:
    """Give the pepper another path than beside the database."""
    path = own.folder / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    (own.folder / "pepper").rename(path)
    own.variables["TRACKERAPI_BACKEND_PEPPER_FILE"] = str(path)


def open_pepper_beside(own: Installation) -> None:
    """Move the pepper to the folder `backend.db.secrets`; let all users read it."""
    move_pepper(own, "backend.db.secrets/pepper")
    (own.folder / "backend.db.secrets" / "pepper").chmod(0o644)


def set_erasures(own: Installation, name: str) -> Path:
    """Name a file of erasures in a new folder; return its path."""
    path = own.folder / "it's elsewhere" / name
    path.parent.mkdir(mode=0o700)
    own.variables["TRACKERAPI_BACKEND_ERASURES_FILE"] = str(path)
    return path


def write_erasures(content: str, mode: int = 0o600) -> Callable[[Installation], None]:
    """Return a function that writes a file of erasures."""

    def write(own: Installation) -> None:
        path = set_erasures(own, "erased")
        path.write_text(content)
        path.chmod(mode)

    return write


def open_folder_of_erasures(own: Installation) -> None:
    """Let every user replace the file of erasures."""
    set_erasures(own, "erased").parent.chmod(0o777)


def lose_folder_of_erasures(own: Installation) -> None:
    """Delete the folder of the file of erasures."""
    set_erasures(own, "erased").parent.rmdir()


def make_folder_of_erasures(own: Installation) -> None:
    """Name a folder as the file of erasures."""
    set_erasures(own, "erased").mkdir(mode=0o700)


def serve_others(own: Installation) -> None:
    """Listen on all addresses, without a public address."""
    own.variables["TRACKERAPI_BACKEND_HOST"] = "0.0.0.0"  # noqa: S104 -- not opened


FAULTS = {
    **{
        f"{name or 'folder'} {mode:o}": (set_mode(name, mode), "rights", level)
        for name, mode, level in (
            ("backend.db", 0o644, "error"),
            ("backend.db", 0o620, "warning"),
            ("backend.db-wal", 0o604, "error"),
            ("backend.db-shm", 0o666, "error"),
            ("backend.db.erasures", 0o644, "error"),
            ("pepper", 0o644, "error"),
            ("pepper", 0o660, "warning"),
            ("", 0o770, "error"),
            ("", 0o777, "error"),
        )
    },
    **{
        f"{name} of another user": (give_away(name), "owners", "error")
        for name in ("backend.db-wal", "backend.db.erasures", "pepper", "")
    },
    **{
        f"{name or 'folder'} is a link": (replace_by_link(name), "links", "warning")
        for name in ("backend.db", "pepper", "")
    },
    **{
        f"{name} has two names": (add_hard_link(name), "links", "error")
        for name in ("backend.db", "pepper")
    },
    **{
        name: (leave(name), "leftovers", "warning")
        for name in (
            "backend.db.before-0012",
            "backend.db.before-restore",
            "backend.db.new",
            "pepper.new",
            "pepper.before-restore",
            "x.backup.database.new",
        )
    },
    "open pepper beside": (open_pepper_beside, "rights", "error"),
    "open folder of erasures": (open_folder_of_erasures, "rights", "error"),
    "lost folder of erasures": (lose_folder_of_erasures, "erasures", "error"),
    "folder as erasures": (make_folder_of_erasures, "erasures", "error"),
    "notes as erasures": (write_erasures("notes\n"), "erasures", "error"),
    "cut line of erasures": (
        write_erasures(f"{ERASED}\n{ERASED[:20]}\n{ERASED}\n"),
        "erasures",
        "error",
    ),
    "large log": (grow_log, "log size", "warning"),
    "address": (serve_others, "address", "error"),
    "lost folder": (lose_folder, "database", "error"),
    "lost database": (lose_database, "database", "error"),
    "text": (write_text, "database", "error"),
    "damage": (damage, "integrity", "error"),
    "dangling row": (refer_to_nothing, "integrity", "error"),
    "older schema": (age_schema, "schema", "error"),
    "no schema": (empty, "schema", "error"),
    "lost pepper": (lose_pepper, "pepper", "error"),
    "foreign pepper": (write_pepper, "pepper", "error"),
    "short pepper": (shorten_pepper, "pepper", "error"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_printed_command_fixes_the_fault(own: Installation, name: str) -> None:
    """Each fault is one finding; the printed command removes the finding."""
    make, check, level = FAULTS[name]
    make(own)
    [fault] = own.faults()
    assert (fault["check"], fault["level"]) == (check, level), fault
    own.run(fault["command"])
    # Commands that replace a file keep the earlier file, which is a finding too.
    assert [each for each in own.faults() if each["check"] != "leftovers"] == []


def test_each_damaged_line_is_kept(own: Installation) -> None:
    """The commands for two damaged lines of the file of erasures keep both lines."""
    damaged = [f"{ERASED[:20]}\n", f"{ERASED[:30]}\n"]
    write_erasures(f"{ERASED}\n{damaged[0]}{ERASED}\n{damaged[1]}")(own)
    for _line in damaged:
        [fault] = own.faults()
        own.run(fault["command"])
    assert own.faults() == []
    kept = own.folder / "it's elsewhere" / "erased.damaged"
    assert kept.read_text() == "".join(damaged)


def test_copies_behind_a_link_are_found(own: Installation) -> None:
    """Copies of the database are leftovers, also if the setting names a link."""
    (own.folder / f"{own.database.name}.before-0001").touch(mode=0o600)
    link = own.folder / "link"
    link.symlink_to(own.database)
    checks = {each["check"] for each in own.faults("--database", str(link))}
    assert "leftovers" in checks


@pytest.mark.parametrize(
    "make",
    [lose_database, write_text, damage, refer_to_nothing, age_schema, empty],
    ids=lambda make: make.__name__,
)
def test_printed_command_names_the_pepper(
    own: Installation, make: Callable[[Installation], None]
) -> None:
    """A command needs no variable if `doctor` got the files as arguments."""
    make(own)
    pepper = own.folder / "pepper"
    if pepper.exists():
        move_pepper(own, "keys/it's pepper")
        pepper = own.folder / "keys" / "it's pepper"
    else:
        pepper = own.folder / "it's pepper"
    own.variables = {}
    files = ("--database", str(own.database), "--pepper-file", str(pepper))
    own.run(own.faults(*files)[0]["command"])
    left = [each for each in own.faults(*files) if each["check"] != "leftovers"]
    assert left == []
    assert not (own.folder / "pepper").exists()


def test_healthy_installation_has_no_fault(own: Installation) -> None:
    """Without a fault, each check has one line that begins with `ok`, and status 0."""
    assert own.faults() == own.faults("--full") == []
    result = command_here("doctor", environment=own.variables)
    lines = result.stdout.splitlines()
    assert len(lines) > 10
    assert all(line.startswith("ok: ") for line in lines)
    assert any("SQLite 3." in line for line in lines)
    own.database.chmod(0o644)
    result = command_here("doctor", environment=own.variables)
    [line] = [line for line in result.stdout.splitlines() if line.startswith("error: ")]
    assert line.endswith(f" Run: chmod g-w,o-rwx {shlex.quote(str(own.database))}*")
    assert command_here("doctor", "--no", environment=own.variables).returncode == 2


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
@pytest.mark.parametrize("made", ["TABLE visits (page TEXT)", "VIEW ones AS SELECT 1"])
def test_database_of_another_program_is_not_changed(
    tmp_path: Path, journal: str, made: str
) -> None:
    """Each command rejects the file, also `migrate`, and `doctor` names the fault."""
    own = Installation(tmp_path)
    with closing(sqlite3.connect(own.database)) as db, db:
        db.execute(f"PRAGMA journal_mode={journal}")
        db.execute(f"CREATE {made}")
    own.database.chmod(0o600)
    content = own.database.read_bytes()
    for line in (("migrate",), ("audit",), ("compact",), ("customer", "create")):
        result = command_here(*line, environment=own.variables)
        expected = f"{own.database} is a database of another program: name another file"
        assert expected in result.stderr
    [fault] = own.faults()
    assert "is a database of another program" in fault["what"]
    assert own.database.read_bytes() == content


def test_new_installation_has_no_fault(tmp_path: Path) -> None:
    """After the first commands of the README, `doctor` finds no fault."""
    folder = tmp_path / "new"
    folder.mkdir()
    folder.chmod(0o755)
    new = Installation(folder)
    provider = ("--provider", "Example clinic")
    for arguments in (
        ("migrate",),
        ("key", "create", *provider, "--label", "nightly"),
        ("customer", "create", *provider, "--name", "Ward 3"),
    ):
        command_here(*arguments, environment=new.variables).check_returncode()
    assert new.faults() == []


def test_doctor_beside_a_server_changes_nothing(own: Installation) -> None:
    """A running server is no fault, and serves on after `doctor`."""
    keys = {"all": "none"}
    with serve_existing(own.folder, keys) as (process, service):
        assert own.faults() == []
        with service.client(None) as reader:
            assert reader.get("/readyz").status_code == 200
        assert process.poll() is None


def test_index_that_differs_from_its_table_is_found(own: Installation) -> None:
    """`doctor --full` finds a row that an index lacks, and names the fix."""
    storage = storage_from({}, own.variables)
    with closing(open_store(storage)) as store, store.transaction() as db:
        db.exec_driver_sql("PRAGMA writable_schema=ON")
        db.exec_driver_sql(
            "UPDATE sqlite_master SET sql = replace(sql, '(created_by)', '(label)')"
            " WHERE name = 'ix_api_keys_created_by'"
        )
    assert own.faults() == []
    [fault] = own.faults("--full")
    assert (fault["check"], fault["level"]) == ("integrity", "error")
    own.run(fault["command"])
    assert {each["check"] for each in own.faults("--full")} == {"leftovers"}


@pytest.mark.parametrize(
    ("shift", "level"),
    [(timedelta(hours=-1), "error"), (timedelta(days=400), "warning")],
    ids=str,
)
def test_wrong_clock_is_found(
    own: Installation,
    monkeypatch: pytest.MonkeyPatch,
    shift: timedelta,
    level: str,
) -> None:
    """A clock before the newest job, or a year after it, is a finding."""
    monkeypatch.setattr(database, "utc_now", lambda: utc_now() + shift)
    [fault] = own.faults()
    assert (fault["check"], fault["level"]) == ("clock", level)
    assert fault["command"] == "timedatectl set-ntp true"


def test_locked_database_is_not_replaced(
    own: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that another program locks is a finding; `fuser` names the program."""
    impatient = partial(sqlite3.connect, timeout=0.1)
    monkeypatch.setattr(sqlite_reading.sqlite3, "connect", impatient)
    with closing(sqlite3.connect(own.database, isolation_level=None)) as db:
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("PRAGMA user_version=1")
        [fault] = own.faults()
    assert fault["check"] == "database"
    assert "locked" in fault["what"]
    assert fault["command"].startswith("fuser")
    assert own.faults() == []


def test_network_file_system_is_found(
    own: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database on NFS is a finding, with the commands that move the database."""
    point = str(own.folder).replace(" ", "\\040")
    mounts = own.folder.parent / "mounts"
    mounts.write_text(
        "21 1 0:20 / / rw - ext4 /dev/sda rw\n"
        f"22 21 0:21 / {point} rw,relatime shared:1 - nfs4 host:/export rw\n"
    )
    monkeypatch.setattr(files, "MOUNTS", mounts)
    [fault] = own.faults()
    assert (fault["check"], fault["level"]) == ("file system", "error")
    assert "nfs4" in fault["what"]
    monkeypatch.chdir(own.folder.parent)
    own.run(fault["command"].replace("/var/lib/trackerapi", str(own.folder.parent)))
    assert (own.folder.parent / "backend.db").exists()


def test_full_disk_is_found(own: Installation) -> None:
    """A disk with little space is a finding; its command lists the largest files."""
    with small_disk(own.folder.parent / "disk") as disk:
        disk.chmod(0o700)
        for file in own.folder.iterdir():
            shutil.copy(file, disk)
        full = Installation(disk)
        [fault] = full.faults()
        assert (fault["check"], fault["level"]) == ("disk", "error")
        full.run(fault["command"])
        make_space(disk)
        assert full.faults() == []


def test_low_limit_of_open_files_is_found(
    own: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A low limit of open files is a finding; its command raises the limit."""
    with monkeypatch.context() as patched:
        patched.setattr(resource, "getrlimit", lambda _what: (1024, 1024))
        [fault] = own.faults()
    assert (fault["check"], fault["level"]) == ("descriptors", "warning")
    run_in_shell(
        f"{fault['command']} && test $(ulimit -n) -ge {machine.MIN_DESCRIPTORS}"
    )


@pytest.mark.parametrize("found", ["0.1", "99.0", None])
def test_unsupported_dependency_is_found(
    own: Installation, monkeypatch: pytest.MonkeyPatch, found: str | None
) -> None:
    """A missing, too old or too new dependency is a finding with its range."""
    version = distributions.version

    def changed(name: str) -> str:
        if name != "starlette":
            return version(name)
        if found is None:
            raise distributions.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(machine.metadata, "version", changed)
    [fault] = own.faults()
    assert (fault["check"], fault["level"]) == ("versions", "error")
    assert "-m pip install 'starlette<" in fault["command"]


def test_newer_schema_is_found(own: Installation) -> None:
    """A schema of a newer release is a finding."""
    record_newer_revision(own.folder)
    [fault] = own.faults()
    assert fault["check"] == "schema"
    assert "made by a newer release" in fault["what"]


def test_unusable_paths_are_findings(own: Installation) -> None:
    """A folder and a pipe in place of the database are findings."""
    (own.folder / "folder").mkdir()
    os.mkfifo(own.folder / "pipe", 0o600)
    for name in ("folder", "pipe"):
        path = own.folder / name
        own.variables["TRACKERAPI_BACKEND_DATABASE"] = str(path)
        found = [each for each in own.faults() if each["check"] == "database"]
        assert len(found) == 1
        assert str(path) in found[0]["what"]


def test_files_of_another_user_are_findings(
    healthy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user who may not open the database learns how to become its owner."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    # The folders of pytest are closed to other users.
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("backend.db", "pepper"):
            shutil.copy(healthy / name, folder)
        other = Installation(folder)
        # Load the modules first: their folder may be closed to other users too.
        assert other.faults() == []
        os.chown(folder, NOBODY, -1)
        os.seteuid(NOBODY)
        try:
            faults = {each["check"]: each["command"] for each in other.faults()}
        finally:
            os.seteuid(0)
    assert faults["database"] == f"sudo chown $(id -u) {folder}/backend.db"
    assert capsys.readouterr().err == ""


def lose_rights(own: Installation) -> None:
    """Connect as a role without rights on the tables."""
    assert own.url is not None
    role = new_name().replace("-", "")
    with psycopg.connect(own.url, autocommit=True) as db:
        db.execute(f"CREATE ROLE {role} LOGIN".encode())
    own.variables["TRACKERAPI_BACKEND_DATABASE_URL"] = changed_url(own.url, user=role)


def lose_erasures(own: Installation) -> None:
    """Unset the file of erasures."""
    del own.variables["TRACKERAPI_BACKEND_ERASURES_FILE"]


POSTGRES_FAULTS = {
    "no file of erasures": (lose_erasures, "erasures", "warning"),
    "older schema": (age_schema, "schema", "error"),
    "lost pepper": (lose_pepper, "pepper", "error"),
    "foreign pepper": (write_pepper, "pepper", "error"),
    "open pepper": (set_mode("pepper", 0o644), "rights", "error"),
    "rights": (lose_rights, "engine", "error"),
}


@pytest.mark.parametrize("name", POSTGRES_FAULTS)
def test_printed_command_fixes_the_fault_of_postgres(
    own_postgres: Installation, name: str
) -> None:
    """Each fault with PostgreSQL is a finding, which the printed command removes."""
    make, check, level = POSTGRES_FAULTS[name]
    make(own_postgres)
    fault = own_postgres.faults()[0]
    assert (fault["check"], fault["level"]) == (check, level), fault
    own_postgres.run(fault["command"])
    assert own_postgres.faults() == []
    lines = command_here("doctor", environment=own_postgres.variables).stdout
    assert "ok: pepper: " in lines
    # These checks concern only the SQLite file.
    assert not re.search("^ok: (log size|file system|disk): ", lines, re.MULTILINE)


def test_unusable_postgres_is_a_finding(tmp_path: Path, postgres: str) -> None:
    """A server that cannot be reached, and a wrong encoding, are findings."""
    prepare(tmp_path)
    url = changed_url(postgres, host=str(tmp_path), password="geheim")
    [fault] = Installation(tmp_path, url).faults()
    assert fault["check"] == "database"
    assert "pg_isready" in fault["command"]
    assert "geheim" not in str(fault)
    with new_database(postgres, "ENCODING 'SQL_ASCII' TEMPLATE template0") as ascii_url:
        faults = Installation(tmp_path, ascii_url).faults()
    assert [each["check"] for each in faults] == ["engine", "schema"]
