"""Commands `backup` and `restore`: database and pepper, also while a server runs."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tarfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from sqlalchemy import select
from trackerapi_backend.cli.database import open_pepper, open_store
from trackerapi_backend.settings import storage_from
from trackerapi_backend.store import sqlite_copy
from trackerapi_backend.store.migrations import HEAD
from trackerapi_backend.store.schema import metadata
from trackerapi_backend.store.transfer import count_rows

from backend.tests.support.disks import SMALL_DISK_BYTES, small_disk
from backend.tests.support.histories import assert_states_equal_refolds
from backend.tests.support.pages import new_link
from backend.tests.support.postgres import changed_url, new_database
from backend.tests.support.reporting import ReportingThread, stored_ids
from backend.tests.support.revisions import NEWER, downgrade, record_newer_revision
from backend.tests.support.service import (
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
from scripts.postgres_server import find_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KILL_AFTER_COPY = """
import os, signal
from trackerapi_backend.cli import backup
backup.write_archive = lambda *_arguments: os.kill(os.getpid(), signal.SIGKILL)
"""
PASSWORD = "geheim"
KILL_BEFORE_DATABASE = """
import os, signal
from trackerapi_backend.store.new_file import NewFile
publish = NewFile.publish
def publish_or_die(new):
    if new.fresh.name == "backend.db.new":
        os.kill(os.getpid(), signal.SIGKILL)
    publish(new)
NewFile.publish = publish_or_die
"""
RESTORED = {"backend.db", "backend.db.backups", "pepper"}
NOBODY = 65534
BESIDE = ("backend.db", "backend.db-wal", "backend.db-shm", "backend.db-journal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """Backup of a server with jobs, keys and a link.

    Attributes:
        file: File of the backup.
        keys: Keys that are valid in the backup.
        page: Path of the page of a share link.
        job: A job of the backup.
    """

    file: Path
    keys: dict[str, str]
    page: str
    job: dict[str, Any]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A backup of a server that runs."""
    folder = tmp_path_factory.mktemp("saved")
    keys = prepare(folder)
    with (
        serve_existing(folder, keys) as (_process, service),
        service.client() as api,
    ):
        job = new_job(api)
        report(api, job, kind="info", detail="x")
        page = urlsplit(new_link(api, job)["url"]).path
        file = folder / "saved.backup"
        result = backup(folder, file)
        assert result.returncode == 0, result.stderr
    assert [name.name for name in folder.glob("saved*")] == ["saved.backup"]
    return Saved(file=file, keys=keys, page=page, job=job)


def backup(folder: Path, file: Path) -> subprocess.CompletedProcess[str]:
    """Back up the database in a folder."""
    return command_here("backup", str(file), environment=variables_of(folder))


def restore(
    file: Path, folder: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    """Restore a backup into a folder."""
    return command_here(
        "restore", str(file), *options, environment=variables_of(folder)
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of each file of a folder."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_restored_server_accepts_old_keys_and_links(
    tmp_path: Path, saved: Saved
) -> None:
    """A restored backend has the jobs, keys and links of the backup."""
    result = restore(saved.file, tmp_path)
    assert result.returncode == 0, result.stderr
    assert "jobs\t1" in result.stdout.splitlines()
    assert "doctor --erase-again FILE --database " in result.stdout
    for file in (saved.file, tmp_path / "backend.db", tmp_path / "pepper"):
        assert stat.S_IMODE(file.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR
    assert set(contents(tmp_path)) == RESTORED
    with serve_existing(tmp_path, saved.keys) as (_process, service):
        with service.client() as api:
            assert stored_ids(api, saved.job)
            report(api, saved.job, kind="info", detail="y")
        with service.client(None) as reader:
            assert reader.get(saved.page, follow_redirects=True).status_code == 200


def test_backup_of_a_busy_server_has_all_acknowledged_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server stores events during a backup, which has all events before it."""
    keys, file = prepare(tmp_path), tmp_path / "busy.backup"
    steps: list[int] = []
    with (
        serve_existing(tmp_path, keys) as (process, service),
        service.client() as api,
    ):
        thread = ReportingThread(api, 1)

        def wait_for_events(*_progress: int) -> None:
            before, until = len(thread.acknowledged), time.monotonic() + 60
            while len(thread.acknowledged) == before:
                assert time.monotonic() < until, "the server waits for the backup"
                time.sleep(0.001)
            steps.append(before)

        monkeypatch.setattr(sqlite_copy, "_handle_signals", wait_for_events)
        monkeypatch.setattr(sqlite_copy, "PAGES_PER_STEP", 50)
        thread.start()
        assert thread.enough.wait(MAX_WAIT_SECONDS)
        acknowledged = set(thread.acknowledged)
        result = backup(tmp_path, file)
        process.kill()
        thread.join(MAX_WAIT_SECONDS)
    assert result.returncode == 0, result.stderr
    # The copy is of one snapshot: it does not begin anew after each write.
    assert 1 < len(steps) < 50
    folder = tmp_path / "restored"
    folder.mkdir()
    restore(file, folder).check_returncode()
    query = select(metadata.tables["events"].c.event_id)
    with closing(open_store(storage_from({}, variables_of(folder)))) as store:
        assert_states_equal_refolds(store)
        stored = store.read(lambda db: db.execute(query).scalars().all())
    assert acknowledged <= {str(UUID(bytes=each)) for each in stored}


def damaged_files(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield files that are no complete backup."""
    yield "empty", b""
    yield "text", b"this is no backup\n" * 1000
    for length in (1, 511, 512, 1500, 9000, len(whole) // 2, len(whole) - 12_000):
        yield f"first {length} bytes", whole[:length]
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        for member in archive:
            for offset in (member.offset, member.offset_data, member.offset_data + 50):
                changed = bytearray(whole)
                changed[offset] ^= 1
                yield f"{member.name} at {offset}", bytes(changed)
            last = member.offset_data + member.size - 1
            yield f"end of {member.name}", whole[:last] + b"\0" + whole[last + 1 :]


def test_damaged_backup_restores_nothing(tmp_path: Path, saved: Saved) -> None:
    """A damaged, truncated or foreign file causes one error and leaves no file."""
    file, folder = tmp_path / "damaged", tmp_path / "restored"
    folder.mkdir()
    for what, content in damaged_files(saved.file.read_bytes()):
        file.write_bytes(content)
        line = error_line(restore(file, folder))
        assert f"{file} is damaged, incomplete or not a backup" in line, what
        assert not contents(folder), what


@pytest.mark.parametrize("kind", ["database", "export", "archive", "pipe", "missing"])
def test_foreign_file_is_one_error(tmp_path: Path, saved: Saved, kind: str) -> None:
    """Other files of the backend, other archives and pipes cause one error each."""
    file, folder = tmp_path / kind, tmp_path / "restored"
    folder.mkdir()
    if kind == "database":
        shutil.copy(saved.file.parent / "backend.db", file)
    elif kind == "export":
        variables = variables_of(saved.file.parent)
        command_here("export", str(file), environment=variables).check_returncode()
    elif kind == "archive":
        with tarfile.open(file, "w") as archive:
            archive.add(__file__, "manifest.json")
    elif kind == "pipe":
        os.mkfifo(file)
    assert str(file) in error_line(restore(file, folder))
    assert not contents(folder)


def repack(saved: Saved, folder: Path, change: Callable[[Path], None]) -> Path:
    """Change the unpacked files of a backup; return a backup with matching sums."""
    unpacked, file = folder / "unpacked", folder / "changed.backup"
    shutil.unpack_archive(saved.file, unpacked, "tar")
    (unpacked / "SHA256SUMS").unlink()
    change(unpacked)
    names = sorted(path.name for path in unpacked.iterdir())
    sums = subprocess.run(
        ["sha256sum", *names], cwd=unpacked, capture_output=True, check=True
    )
    (unpacked / "SHA256SUMS").write_bytes(sums.stdout)
    with tarfile.open(file, "w") as archive:
        for name in [*names, "SHA256SUMS"]:
            archive.add(unpacked / name, name)
    return file


@pytest.mark.parametrize("changed", [{"schema": NEWER}, {"version": 2}], ids=str)
def test_backup_of_a_newer_release_is_rejected(
    tmp_path: Path, saved: Saved, changed: dict[str, Any]
) -> None:
    """A backup with a newer schema or format names the fix and changes nothing."""
    folder = tmp_path / "restored"
    folder.mkdir()

    def change(unpacked: Path) -> None:
        manifest = json.loads((unpacked / "manifest.json").read_text())
        (unpacked / "manifest.json").write_text(json.dumps(manifest | changed))

    line = error_line(restore(repack(saved, tmp_path, change), folder))
    assert "made by a newer release: install that release" in line
    assert not contents(folder)


def lack_database(unpacked: Path) -> None:
    """Delete the database."""
    (unpacked / "backend.db").unlink()


def empty_file(unpacked: Path) -> None:
    """Empty the database."""
    (unpacked / "backend.db").write_bytes(b"")


def foreign_file(unpacked: Path) -> None:
    """Replace the database by a text."""
    (unpacked / "backend.db").write_text("this is no database" * 1000)


def half_a_file(unpacked: Path) -> None:
    """Cut the database to half of its pages."""
    file = unpacked / "backend.db"
    os.truncate(file, file.stat().st_size // 8192 * 4096)


def damaged_page(unpacked: Path) -> None:
    """Overwrite the last page of the database."""
    with (unpacked / "backend.db").open("r+b") as file:
        file.seek(-4096, os.SEEK_END)
        file.write(b"x" * 4096)


@pytest.mark.parametrize(
    "change", [lack_database, empty_file, foreign_file, half_a_file, damaged_page]
)
def test_backup_without_a_usable_database_is_one_error(
    tmp_path: Path, saved: Saved, change: Callable[[Path], None]
) -> None:
    """The error names the backup, advises to use another one, and nothing changes."""
    folder = tmp_path / "restored"
    folder.mkdir()
    file = repack(saved, tmp_path, change)
    line = error_line(restore(file, folder))
    assert str(file) in line
    assert line.endswith(("use another backup", "use another copy or another backup"))
    assert not contents(folder)


@pytest.mark.parametrize("name", [*BESIDE, "pepper"])
def test_existing_file_is_kept(tmp_path: Path, saved: Saved, name: str) -> None:
    """A restore replaces no file; `--move-aside` renames it."""
    (tmp_path / name).write_text("precious")
    line = error_line(restore(saved.file, tmp_path))
    assert f"{tmp_path / name} exists" in line
    assert "--move-aside" in line
    assert contents(tmp_path) == {name: b"precious"}
    result = restore(saved.file, tmp_path, "--move-aside")
    assert result.returncode == 0, result.stderr
    stem, dash, suffix = name.partition("-")
    moved = f"{stem}.before-restore{dash}{suffix}"
    assert set(contents(tmp_path)) == RESTORED | {moved}
    assert (tmp_path / moved).read_text() == "precious"
    (tmp_path / name).write_text("second")
    assert str(tmp_path / moved) in error_line(
        restore(saved.file, tmp_path, "--move-aside")
    )


def test_lost_database_is_restored_beside_its_pepper(
    tmp_path: Path, saved: Saved
) -> None:
    """A pepper file with the same content stays, and the database is restored."""
    restore(saved.file, tmp_path).check_returncode()
    (tmp_path / "backend.db").unlink()
    before = (tmp_path / "pepper").stat().st_ino
    restore(saved.file, tmp_path).check_returncode()
    assert (tmp_path / "pepper").stat().st_ino == before


def test_database_of_a_running_server_is_not_moved(
    tmp_path: Path, saved: Saved
) -> None:
    """`restore --move-aside` fails while a server uses the database."""
    keys = prepare(tmp_path)
    with closing(open_store(storage_from({}, variables_of(tmp_path)))):
        files = set(contents(tmp_path))
        result = restore(saved.file, tmp_path, "--move-aside")
    assert keys
    assert "is in use by another trackerapi-backend" in error_line(result)
    assert files >= set(contents(tmp_path)) >= {"backend.db", "pepper"}


def test_backup_of_an_older_schema_needs_migrate(tmp_path: Path) -> None:
    """A backup of an older schema is restored with it, and `migrate` upgrades it."""
    prepare(tmp_path)
    downgrade(tmp_path, "0005")
    file, folder = tmp_path / "old.backup", tmp_path / "restored"
    folder.mkdir()
    backup(tmp_path, file).check_returncode()
    result = restore(file, folder)
    assert "0005 is older: run `trackerapi-backend migrate --data" in result.stdout
    variables = variables_of(folder)
    assert HEAD in error_line(command_here("key", "list", environment=variables))
    for arguments in (("migrate",), ("key", "list")):
        command_here(*arguments, environment=variables).check_returncode()


def forget_pepper(folder: Path) -> None:
    """Delete the pepper file."""
    (folder / "pepper").unlink()


def replace_pepper(folder: Path) -> None:
    """Replace the pepper file with the pepper of another installation."""
    (folder / "pepper").write_text("f" * 64)


def damage_database(folder: Path) -> None:
    """Overwrite pages in the middle of the database."""
    with (folder / "backend.db").open("r+b") as file:
        file.seek(20 * 4096)
        file.write(os.urandom(4096 * 5))


def empty_database(folder: Path) -> None:
    """Replace the database with an empty database."""
    (folder / "backend.db").unlink()
    with closing(sqlite3.connect(folder / "backend.db")) as db:
        db.execute("CREATE TABLE foreign_table (id INTEGER)")


def lose_database(folder: Path) -> None:
    """Delete the database."""
    (folder / "backend.db").unlink()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (forget_pepper, "pepper is missing"),
        (replace_pepper, "is not the pepper of"),
        (damage_database, "damaged|malformed"),
        (empty_database, "is not a database of trackerapi-backend"),
        (lose_database, "there is no database"),
        (record_newer_revision, "made by a newer release"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_unusable_source_leaves_no_backup(
    tmp_path: Path, change: Callable[[Path], None], expected: str
) -> None:
    """If the source could not be restored, `backup` fails and leaves no file."""
    prepare(tmp_path)
    change(tmp_path)
    line = error_line(backup(tmp_path, tmp_path / "x.backup"))
    assert any(part in line for part in expected.split("|")), line
    assert "f" * 64 not in line
    assert not list(tmp_path.glob("x.backup*"))


def test_backup_of_a_database_without_keys_needs_no_pepper(tmp_path: Path) -> None:
    """`backup` and `restore` need no pepper file before the first key."""
    folder, file = tmp_path / "restored", tmp_path / "x.backup"
    folder.mkdir()
    command_here("migrate", environment=variables_of(tmp_path)).check_returncode()
    backup(tmp_path, file).check_returncode()
    restore(file, folder).check_returncode()
    assert set(contents(folder)) == RESTORED - {"pepper"}


def test_unwritable_places_are_one_error(tmp_path: Path, saved: Saved) -> None:
    """A full disk, a missing folder and an existing file cause one error each."""
    source = saved.file.parent
    before = saved.file.read_bytes()
    assert f"{saved.file} exists" in error_line(backup(source, saved.file))
    assert saved.file.read_bytes() == before
    missing = tmp_path / "no" / "x"
    assert f"{missing} cannot be written" in error_line(backup(source, missing))
    assert f"{missing.parent}" in error_line(restore(saved.file, missing.parent))
    with small_disk(tmp_path / "disk") as disk:
        filler = disk / "filler"
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, SMALL_DISK_BYTES - 64 * 1024)
        assert f"{disk}" in error_line(backup(source, disk / "x.backup"))
        assert f"{disk}" in error_line(restore(saved.file, disk))
        filler.write_bytes(b"x" * (SMALL_DISK_BYTES - 300 * 1024))
        # The disk has space for the copy, but not for the backup file.
        assert f"{disk}" in error_line(backup(source, disk / "x.backup"))
        assert list(disk.iterdir()) == [filler]


def test_killed_backup_leaves_no_backup(tmp_path: Path) -> None:
    """The files of a killed backup have temporary names, and the next replaces them."""
    prepare(tmp_path)
    file = tmp_path / "x.backup"
    killed = command(
        *("backup", str(file)),
        environment=variables_of(tmp_path),
        prelude=KILL_AFTER_COPY,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = sorted(path.name for path in tmp_path.glob("x.*"))
    assert left == ["x.backup.database.new", "x.backup.new"]
    backup(tmp_path, file).check_returncode()
    assert list(tmp_path.glob("x.*")) == [file]
    folder = tmp_path / "restored"
    folder.mkdir()
    restore(file, folder).check_returncode()


def test_interrupted_backup_leaves_no_file(
    tmp_path: Path, saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C during the copy causes one error and leaves no file."""

    def interrupt(*_progress: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sqlite_copy, "_handle_signals", interrupt)
    file = tmp_path / "x.backup"
    line = error_line(backup(saved.file.parent, file))
    assert line == f"interrupted: {file} was not written"
    assert not contents(tmp_path)


def test_killed_restore_is_run_again(tmp_path: Path, saved: Saved) -> None:
    """A killed restore leaves no database; the same command then restores all."""
    killed = command(
        *("restore", str(saved.file)),
        environment=variables_of(tmp_path),
        prelude=KILL_BEFORE_DATABASE,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert set(contents(tmp_path)) == {"backend.db.new", "pepper"}
    restore(saved.file, tmp_path).check_returncode()
    assert set(contents(tmp_path)) == RESTORED


def test_files_restored_by_root_belong_to_the_owner_of_the_folder(
    tmp_path: Path, saved: Saved
) -> None:
    """Root gives the files to the user of the server, who owns the folder."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(tmp_path, NOBODY, NOBODY)
    restore(saved.file, tmp_path).check_returncode()
    assert {path.stat().st_uid for path in tmp_path.iterdir()} == {NOBODY}


def run_printed(
    *arguments: str, variables: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run the commands that a command prints for PostgreSQL, in a shell."""
    printed = command_here(*arguments, environment=variables)
    assert printed.returncode == 0, printed.stderr
    assert PASSWORD not in printed.stdout
    program = find_program("pg_dump")
    assert program is not None
    folders = [str(Path(each).parent) for each in (sys.executable, program)]
    path = os.pathsep.join([*folders, os.environ["PATH"]])
    return subprocess.run(
        ["sh"],
        input=printed.stdout,
        env=os.environ | variables | {"PATH": path, "PGPASSWORD": PASSWORD},
        capture_output=True,
        text=True,
        timeout=MAX_WAIT_SECONDS,
        check=False,
    )


def is_open(path: Path) -> bool:
    """Return whether other users have a right on a file or folder."""
    return bool(path.stat().st_mode & 0o077)


def test_printed_commands_of_postgres_back_up_and_restore(
    tmp_path: Path, postgres: str
) -> None:
    """The printed commands restore all rows and the pepper into another database."""
    file, folder = tmp_path / "it's a backup", tmp_path / "restored"
    folder.mkdir()
    with new_database(postgres) as first, new_database(postgres) as second:
        prepare(tmp_path, first)
        source = variables_of(tmp_path, changed_url(first, password=PASSWORD))
        target = variables_of(folder, changed_url(second, password=PASSWORD))
        done = run_printed("backup", str(file), variables=source)
        assert done.returncode == 0, done.stderr
        assert not [each for each in (file, *file.iterdir()) if is_open(each)]
        again = run_printed("backup", str(file), variables=source)
        assert again.returncode != 0
        assert f"{file} exists: name a new folder" in again.stderr
        counts = []
        for variables in (source, target):
            if variables is target:
                done = run_printed("restore", str(file), variables=target)
                assert done.returncode == 0, done.stderr
            storage = storage_from({}, variables)
            with closing(open_store(storage)) as store:
                counts.append(store.read(count_rows))
                open_pepper(store, storage)
        assert counts[0] == counts[1]
        assert counts[0]["api_keys"] > 0
        # The database is not empty, and the pepper is there already.
        assert run_printed("restore", str(file), variables=target).returncode != 0
        line = error_line(command_here("restore", "no", environment=target))
        assert "there is no" in line
        forget_pepper(tmp_path)
        line = error_line(command_here("backup", "new", environment=source))
        assert "is missing" in line


def test_printed_restore_uses_the_pepper_file_of_its_option(
    tmp_path: Path, postgres: str
) -> None:
    """The printed lines stop at another pepper; `--pepper-file` names a new file."""
    file, folder = tmp_path / "backup", tmp_path / "restored"
    folder.mkdir()
    with new_database(postgres) as first, new_database(postgres) as second:
        prepare(tmp_path, first)
        source = variables_of(tmp_path, first)
        assert run_printed("backup", str(file), variables=source).returncode == 0
        replace_pepper(folder)
        target = variables_of(folder, second)
        done = run_printed("restore", str(file), variables=target)
        assert done.returncode != 0
        assert "is not the pepper of the backup: name a new file" in done.stderr
        # The variable still names the other pepper.
        options = ("--pepper-file", str(folder / "it's new"))
        done = run_printed("restore", str(file), *options, variables=target)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_standard_streams_are_rejected(tmp_path: Path, name: str) -> None:
    """The file `-` is a usage error."""
    prepare(tmp_path)
    result = command_here(name, "-", environment=variables_of(tmp_path))
    assert result.returncode == 2
    assert "standard input and output are not supported" in result.stderr
