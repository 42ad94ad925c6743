"""Files of the backend: locks, unusable files, names that are not UTF-8."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import trackerapi_backend
from trackerapi_backend.cli import dev, serve
from trackerapi_backend.cli.main import main
from trackerapi_backend.store.migrations import HEAD
from trackerapi_backend.store.sqlite import SqliteStore

from backend.tests.support.disks import mount_at
from backend.tests.support.revisions import NEWER, downgrade, record_newer_revision
from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    command,
    command_here,
    error_line,
    first_line,
    prepare,
    start_command,
    variables_of,
)

if TYPE_CHECKING:
    from subprocess import CompletedProcess

ON_A_DATABASE = [
    ("migrate",),
    ("serve", "--port", "0"),
    ("key", "create", "--label", "new"),
    ("key", "list"),
    ("key", "expire", "zzzzzzzz"),
    ("customer", "create"),
    ("customer", "list"),
    ("export", "new.export"),
    ("import", "old.export"),
]
NO_HOME = """
import os, pwd

def unknown(uid):
    raise KeyError(uid)

pwd.getpwuid = unknown
for name in ("HOME", "XDG_DATA_HOME"):
    os.environ.pop(name, None)
"""
OF_SQLITE = ("", "-wal", "-shm", "-journal", ".socket", ".lock", ".backups")
"""Endings of the files of a SQLite database."""
NOT_UTF8_NAME = os.fsdecode(b"odd \xff %41 name")


def database_at(path: Path) -> dict[str, str]:
    """Return the environment variables for a database file."""
    return {"TRACKERAPI_BACKEND_DATABASE": str(path)}


@pytest.mark.parametrize("kind", ["symbolic link", "link to folder", "hard link"])
def test_second_server_is_rejected_under_every_name(tmp_path: Path, kind: str) -> None:
    """A second server is rejected under any name of the database file."""
    folder, other = tmp_path / "one", tmp_path / "two"
    folder.mkdir()
    prepare(folder)
    alias = other / "backend.db"
    if kind == "link to folder":
        other.symlink_to(folder)
    else:
        other.mkdir()
        make = alias.symlink_to if kind == "symbolic link" else alias.hardlink_to
        make(folder / "backend.db")
    with start_command(
        "serve", "--port", "0", environment=database_at(folder / "backend.db")
    ) as process:
        first_line(process)
        for arguments in (("serve", "--port", "0"), ("migrate",)):
            result = command(*arguments, environment=database_at(alias))
            assert "is in use by another trackerapi-backend" in error_line(result)
    command_here("key", "list", environment=database_at(alias)).check_returncode()


def test_second_server_is_rejected_for_a_bind_mount(tmp_path: Path) -> None:
    """A second server is rejected for the same file in a bind mount."""
    prepare(tmp_path)
    alias = tmp_path / "alias.db"
    alias.touch()
    with ExitStack() as stack:
        stack.enter_context(
            mount_at("--bind", str(tmp_path / "backend.db"), at=alias),
        )
        process = stack.enter_context(
            start_command(
                "serve", "--port", "0", environment=database_at(tmp_path / "backend.db")
            )
        )
        first_line(process)
        result = command("migrate", environment=database_at(alias))
        assert "is in use by another trackerapi-backend" in error_line(result)


def test_lock_outlives_other_readers_of_the_file(tmp_path: Path) -> None:
    """The lock stays if the same process opens and closes the database file again."""
    prepare(tmp_path)
    file = tmp_path / "backend.db"
    with closing(SqliteStore(file)):
        file.read_bytes()
        result = command("key", "list", environment=database_at(file))
        assert "is in use by another trackerapi-backend" in error_line(result)
    command_here("key", "list", environment=database_at(file)).check_returncode()


@pytest.fixture
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a command in this process from changing the configuration of logging."""
    for module in (dev, serve):
        monkeypatch.setattr(module, "start_log", lambda _settings: None)


def error_line_here(
    capsys: pytest.CaptureFixture[str], *arguments: str, database: Path
) -> str:
    """Run a failing command in this process; return its only line on stderr."""
    assert main([*arguments, "--database", str(database)]) == 1
    [line] = capsys.readouterr().err.splitlines()
    return line.removeprefix("trackerapi-backend: ")


@pytest.mark.usefixtures("no_log")
@pytest.mark.parametrize("arguments", ON_A_DATABASE, ids=" ".join)
def test_unusable_file_is_reported_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """Every command reports an unusable file in one line with its name."""
    unusable = {
        name: tmp_path / name
        for name in ("text", "folder", "pipe", "loop", "missing/file", "text/file")
    }
    unusable["text"].write_text("this is no database" * 100)
    unusable["folder"].mkdir()
    os.mkfifo(unusable["pipe"])
    unusable["loop"].symlink_to(unusable["loop"])
    for path in unusable.values():
        assert str(path) in error_line_here(capsys, *arguments, database=path)


@pytest.mark.usefixtures("no_log")
@pytest.mark.parametrize("arguments", ON_A_DATABASE[1:], ids=" ".join)
def test_missing_database_is_not_created(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """Only `migrate` creates a database; other commands report its path."""
    for path in (tmp_path / "typo.db", tmp_path / "no folder" / "backend.db"):
        line = error_line_here(capsys, *arguments, database=path)
        assert line.startswith(f"there is no database {path}: ")
        assert "trackerapi-backend migrate" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_log")
@pytest.mark.parametrize("arguments", ON_A_DATABASE, ids=" ".join)
def test_schema_of_a_newer_release_is_rejected(
    tmp_path: Path,
    database_url: str | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    """Every command rejects the schema of a newer release and changes nothing."""
    prepare(tmp_path, database_url)
    for name, value in variables_of(tmp_path, database_url).items():
        monkeypatch.setenv(name, value)
    record_newer_revision(tmp_path, database_url)
    files = contents(tmp_path)
    assert main([*arguments]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert f"has schema {NEWER}, made by a newer release" in line
    assert "install that release" in line
    assert contents(tmp_path) == files
    if database_url is not None:
        with psycopg.connect(database_url) as db:
            revisions = db.execute("SELECT version_num FROM alembic_version").fetchall()
        assert revisions == [(NEWER,)]


@pytest.mark.usefixtures("no_log")
def test_dev_rejects_the_schema_of_a_newer_release(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`dev` rejects the schema of a newer release and changes nothing."""
    prepare(tmp_path)
    record_newer_revision(tmp_path)
    files = contents(tmp_path)
    assert main(["dev", "--port", "0", "--data-dir", str(tmp_path)]) == 1
    assert "install that release" in capsys.readouterr().err
    assert contents(tmp_path) == files


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of each file of a folder."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.usefixtures("no_log")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize("how", ["option", "variable", "dev"])
def test_secret_that_is_no_regular_file_is_rejected(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    how: str,
) -> None:
    """A secret file that is a pipe, device or folder is reported in one line."""
    prepare(tmp_path)
    secret = tmp_path / ("api_key" if how == "dev" else "other pepper")
    if kind == "pipe":
        os.mkfifo(secret)
    elif kind == "device":
        secret.symlink_to("/dev/zero")
    else:
        secret.mkdir()
    line = ["key", "create", "--label", "x", "--database", f"{tmp_path}/backend.db"]
    if how == "variable":
        monkeypatch.setenv("TRACKERAPI_BACKEND_PEPPER_FILE", str(secret))
    elif how == "option":
        line += ["--pepper-file", str(secret)]
    else:
        line = ["dev", "--port", "0", "--data-dir", str(tmp_path)]
    assert main(line) == 1
    output = capsys.readouterr()
    assert output.out == ""
    [reason] = output.err.splitlines()
    assert f"{secret} cannot be used (not a regular file)" in reason


@pytest.mark.usefixtures("no_log")
def test_read_only_file_system_is_reported_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command reports a read-only database in one line with its name."""
    prepare(tmp_path)
    file = tmp_path / "backend.db"
    with mount_at("--bind", str(tmp_path), at=tmp_path):
        remount = ["mount", "-o", "remount,bind,ro", str(tmp_path)]
        subprocess.run(remount, check=True)
        output = [
            error_line_here(capsys, *arguments, database=file)
            for arguments in ON_A_DATABASE
        ]
        assert main(["dev", "--port", "0", "--data-dir", str(tmp_path)]) == 1
        output.append(capsys.readouterr().err)
    assert all(f"{file} cannot be written" in line for line in output)


def test_copy_of_an_earlier_migration_stops_the_next(tmp_path: Path) -> None:
    """`migrate` changes nothing while the copy of an earlier migration exists."""
    file, copy = tmp_path / "backend.db", tmp_path / f"backend.db.before-{HEAD}"
    prepare(tmp_path)
    downgrade(tmp_path, "0001")
    copy.write_text("precious")
    for arguments in (
        ("migrate",),
        ("dev", "--port", "0", "--data-dir", str(tmp_path)),
    ):
        output = error_line(command(*arguments, environment=database_at(file)))
        assert str(copy) in output
        assert "move it" in output
    assert copy.read_text() == "precious"
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("SELECT version_num FROM alembic_version").fetchall() == [
            ("0001",)
        ]


def test_half_written_copy_of_a_migration_is_replaced(tmp_path: Path) -> None:
    """`migrate` replaces the half-written copy of a migration that was killed."""
    file = tmp_path / "backend.db"
    prepare(tmp_path)
    downgrade(tmp_path, "0001")
    (tmp_path / f"backend.db.before-{HEAD}.new").write_text("half")
    migrated = command_here("migrate", environment=database_at(file))
    assert migrated.returncode == 0, migrated.stderr
    copy = tmp_path / f"backend.db.before-{HEAD}"
    assert copy.read_bytes().startswith(b"SQLite format 3")


def test_file_that_dev_cannot_write_is_reported_in_one_line(tmp_path: Path) -> None:
    """If `dev` cannot write a file of the data folder, the error names the file."""
    for name in ("api_key.new", "dev.json"):
        folder = tmp_path / name
        (folder / name).mkdir(parents=True)
        result = command("dev", "--port", "0", "--data-dir", str(folder))
        assert str(folder / name) in error_line(result)


@pytest.mark.parametrize("arguments", [("--help",), ("dev", "--help")])
def test_help_needs_no_home_folder(arguments: tuple[str, ...]) -> None:
    """`--help` works for a user without a home folder and without a passwd entry."""
    result = _without_home(*arguments)
    assert result.returncode == 0, result
    assert "usage: trackerapi-backend" in result.stdout


def test_dev_without_a_home_folder_names_the_option() -> None:
    """The error for a missing home folder names `--data-dir`."""
    assert "--data-dir" in error_line(_without_home("dev", "--port", "0"))


def _without_home(*arguments: str) -> CompletedProcess[str]:
    return command(*arguments, prelude=NO_HOME)


def test_paths_may_have_any_bytes(tmp_path: Path) -> None:
    """Paths of the data folder and of the code may have bytes that are not UTF-8."""
    install, data = tmp_path / NOT_UTF8_NAME / "code", tmp_path / NOT_UTF8_NAME / "data"
    shutil.copytree(
        Path(trackerapi_backend.__file__).parent, install / "trackerapi_backend"
    )
    environment = {"PYTHONPATH": str(install), "PYTHONIOENCODING": "utf-8:strict"}
    with start_command(
        *("dev", "--port", "0", "--data-dir"), str(data), environment=environment
    ) as process:
        first_line(process)
        assert process.stdout is not None
        printed = os.fsencode(process.stdout.readline())
        described = json.loads((data / "dev.json").read_text())
        process.terminate()
        process.wait(timeout=MAX_WAIT_SECONDS)
    assert os.fsencode(data) in printed
    assert described["api_key_file"] == str(data / "api_key")
    listed = command(
        *("key", "list", "--database", str(data / "backend.db")),
        environment=environment,
    )
    assert "dev" in listed.stdout
    output = command(
        *("key", "list", "--database", str(data / "missing" / "backend.db")),
        environment=environment,
    )
    assert "there is no database" in error_line(output)


def test_migration_copies_a_file_with_any_name(tmp_path: Path) -> None:
    """`migrate` copies a database in a folder with a name that is not UTF-8."""
    folder = tmp_path / NOT_UTF8_NAME
    folder.mkdir()
    prepare(folder)
    downgrade(folder, "0001")
    migrated = command_here("migrate", environment=database_at(folder / "backend.db"))
    assert migrated.returncode == 0, migrated.stderr
    copy = folder / f"backend.db.before-{HEAD}"
    assert copy.exists()
    assert f"{copy} is the database before the upgrade" in migrated.stdout


def test_names_that_the_terminal_cannot_show_are_escaped(tmp_path: Path) -> None:
    """`key list` escapes characters of a label that the output encoding lacks."""
    prepare(tmp_path)
    environment = {**database_at(tmp_path / "backend.db"), "PYTHONIOENCODING": "ascii"}
    command_here("key", "create", "--label", "Grüße", environment=environment)
    listed = command("key", "list", environment=environment)
    assert "Gr\\xfc\\xdfe" in listed.stdout


PURPOSES = {
    **dict.fromkeys(
        (f"backend.db{each}" for each in OF_SQLITE), "a file of the database"
    ),
    "pepper": "the pepper file",
    "backend.db.erasures": "the file of erasures",
}


@pytest.mark.parametrize("kind", ["path", "link"])
@pytest.mark.parametrize("name", PURPOSES)
def test_file_of_a_command_is_no_file_of_the_backend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    """A file of the backend is rejected as a backup, an export and a log.

    `restore --move-aside` would otherwise rename the backup and write the new database
    in its place.
    """
    prepare(tmp_path)
    before = contents(tmp_path)
    file = path_or_link(tmp_path, name, kind)
    database = ("--database", str(tmp_path / "backend.db"))
    for setting, arguments in (
        ("FILE", ("backup", str(file), *database)),
        ("FILE", ("export", str(file), *database)),
        ("FILE", ("restore", "--move-aside", str(file), *database)),
        ("FILE", ("import", str(file), *database)),
        ("--log-file", ("serve", "--log-file", str(file), *database)),
        ("--log-file", ("dev", "--log-file", str(file), "--data-dir", str(tmp_path))),
    ):
        assert main([*arguments]) == 1
        assert capsys.readouterr().err == (
            f"trackerapi-backend: {setting}: {file} is {PURPOSES[name]}: name another"
            " file\n"
        )
    assert contents(tmp_path) == before


@pytest.mark.parametrize("kind", ["path", "link"])
@pytest.mark.parametrize("variable", ["PEPPER_FILE", "ERASURES_FILE"])
@pytest.mark.parametrize("name", [f"backend.db{each}" for each in OF_SQLITE])
def test_file_of_the_database_is_no_pepper_and_no_file_of_erasures(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    variable: str,
    kind: str,
) -> None:
    """Each command rejects settings that name a file of the database."""
    file = path_or_link(tmp_path, name, kind)
    monkeypatch.setenv(f"TRACKERAPI_BACKEND_{variable}", str(file))
    for arguments in (("serve",), ("key", "list"), ("migrate",)):
        line = error_line_here(capsys, *arguments, database=tmp_path / "backend.db")
        assert line == (
            f"TRACKERAPI_BACKEND_{variable}: {file} is a file of the database: name"
            " another file"
        )
    assert not (tmp_path / name).exists()


def test_pepper_is_no_file_of_erasures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file as pepper and as file of erasures is rejected, also with PostgreSQL."""
    file = str(tmp_path / "both")
    for name, value in {
        "DATABASE_URL": "postgresql://127.0.0.1:1/none",
        "PEPPER_FILE": file,
        "ERASURES_FILE": file,
    }.items():
        monkeypatch.setenv(f"TRACKERAPI_BACKEND_{name}", value)
    expected = (
        f"TRACKERAPI_BACKEND_ERASURES_FILE: {file} is the pepper file: name another"
        " file"
    )
    for options in ([], ["--database", str(tmp_path / "backend.db")]):
        assert main(["key", "list", *options]) == 1
        assert capsys.readouterr().err == f"trackerapi-backend: {expected}\n"


@pytest.mark.parametrize(
    ("name", "purpose"),
    [("api_key", "the file of the API key"), ("dev.json", "the file for scripts")],
)
def test_log_of_dev_is_no_other_file_of_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, purpose: str
) -> None:
    """`dev` writes these files anew, so a log would be lost."""
    file = tmp_path / name
    assert main(["dev", "--log-file", str(file), "--data-dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"trackerapi-backend: --log-file: {file} is {purpose}: name another file\n"
    )
    assert not file.exists()


def path_or_link(folder: Path, name: str, kind: str) -> Path:
    """Return the path of a file, or a new symbolic link to the file."""
    file = folder / name
    if kind == "path":
        return file
    link = folder.with_name(f"{folder.name} link")
    link.symlink_to(file)
    return link
