"""Rules of all commands: a stdout that cannot be written, and `TRACKERAPI_STRICT`."""

import argparse
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import pytest

from tests.support.leftovers import Machine
from trackerapi.cli.exit_statuses import FINE, UNPRINTED
from trackerapi.cli.main import build_parser

FULL: Final = Path("/dev/full")

CONFIGURATIONS: Final = """{"job_configs": [{"name": "An import", "tag": "an_import",
"step_configurations": [{"name": "Load", "tag": "load", "points": 1}]}]}"""

JOB: Final = "the job of these tests"
ENDED: Final = "a job that has succeeded"

PRINTING: Final = {
    "verify": (),
    "job start": ("an_import", "--customer", "142", "--config", "jobs.json"),
    "job show": ("JOB",),
    "job watch": ("ENDED",),
    "job list": (),
    "job link": ("--job", "JOB"),
    "job token": ("--job", "JOB"),
    "sync": (),
    "outbox list": (),
    "outbox show": ("FILE",),
    "outbox retry": (),
    "outbox claim": ("--all", "--yes"),
    "outbox drop": ("--yes",),
    "outbox replay": (),
    "outbox export": ("reports.bundle",),
    "outbox import": ("made.bundle",),
    "check": ("job.py", "--config", "jobs.json"),
    "completion": ("bash",),
}
"""Arguments of each command that prints a result; `JOB` is the id of a job, `ENDED`
that of a job that has ended, and `FILE` the id of an outbox file."""

SILENT: Final = {
    "job finish": ("--job", "JOB"),
    "job fail": ("--job", "JOB"),
    "job cancel": ("--job", "JOB"),
    "event": ("info", "--job", "JOB"),
    "run": ("--job", "JOB", "--step", "load", "--", "true"),
    "track": ("--job", "JOB", "--step", "load"),
}
"""Arguments of each command that prints nothing itself."""

OTHERS: Final = {"job": ("--help",), "run": ("--help",), "": ("--version",)}


def leaves(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the words of each command that is not a group."""
    groups = [
        action
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
    ]
    if not groups:
        yield parser.prog.removeprefix("trackerapi ")
    for group in groups:
        for below in group.choices.values():
            yield from leaves(below)


@pytest.fixture
def folder(machine: Machine, second_machine: Machine, tmp_path: Path) -> Path:
    """Make the files and the records that the commands of the tables need."""
    jobs, bundle = tmp_path / "jobs.json", tmp_path / "made.bundle"
    jobs.write_text(CONFIGURATIONS)
    start = ("job", "start", "an_import", "--customer", "142", "--config", str(jobs))
    assert machine.run(*start, "--id", JOB).status == FINE
    elsewhere = {"TRACKERAPI_OUTBOX": str(tmp_path / "ended")}
    assert machine.run(*start, "--id", ENDED, **elsewhere).status == FINE
    assert machine.run("job", "finish", "--job", ENDED, **elsewhere).status == FINE
    offline = {"TRACKERAPI_MODE": "offline"}
    for each in (machine, second_machine):
        assert each.run("event", "info", "--job", JOB, **offline).status == FINE
    assert second_machine.run("outbox", "export", str(bundle)).status == FINE
    (tmp_path / "job.py").write_text("print('nothing to report')\n")
    return tmp_path


def call(
    machine: Machine,
    folder: Path,
    words: tuple[str, ...],
    *,
    stdout: IO[bytes] | int = subprocess.PIPE,
    stderr: IO[bytes] | int = subprocess.PIPE,
    **settings: str,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command line in `folder`."""
    given = {"JOB": JOB, "ENDED": ENDED}
    if "FILE" in words:
        given["FILE"] = machine.files[0]["id"]
    (folder / "reports.bundle").unlink(missing_ok=True)
    return subprocess.run(
        machine.command(*(given.get(word, word) for word in words)),
        env=machine.environment(**settings),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        check=False,
    )


def lines_of(table: dict[str, tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the command lines of a table."""
    return [(*name.split(), *arguments) for name, arguments in table.items()]


def test_tables_name_every_command() -> None:
    """A new command without a row in a table fails this test."""
    assert sorted(leaves(build_parser())) == sorted([*PRINTING, *SILENT])


@pytest.mark.skipif(not FULL.exists(), reason="/dev/full does not exist")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", lines_of(PRINTING | OTHERS), ids=" ".join)
def test_stdout_that_cannot_be_written_is_status_1(
    machine: Machine, folder: Path, words: tuple[str, ...], unbuffered: str
) -> None:
    """A full disk behind stdout ends each command with status 1 and one message."""
    with FULL.open("wb") as full:
        done = call(machine, folder, words, stdout=full, PYTHONUNBUFFERED=unbuffered)

    [line] = done.stderr.decode().splitlines()
    assert (done.returncode, line[:12]) == (UNPRINTED, "trackerapi: ")
    assert "No space left on device" in line


@pytest.mark.skipif(not FULL.exists(), reason="/dev/full does not exist")
@pytest.mark.parametrize("words", lines_of(PRINTING | SILENT), ids=" ".join)
def test_stderr_that_cannot_be_written_changes_no_status(
    machine: Machine, folder: Path, words: tuple[str, ...]
) -> None:
    """A full disk behind stderr does not change the exit status of a command."""
    usual = call(machine, folder, words)
    with FULL.open("wb") as full:
        done = call(machine, folder, words, stderr=full)

    assert done.returncode == usual.returncode


@pytest.mark.parametrize("strict", ["1", "perhaps"])
@pytest.mark.parametrize("words", lines_of(PRINTING | SILENT), ids=" ".join)
def test_commands_do_not_read_the_strict_setting(
    machine: Machine, folder: Path, words: tuple[str, ...], strict: str
) -> None:
    """`TRACKERAPI_STRICT`, even with an invalid value, changes no command."""
    done = call(machine, folder, words, TRACKERAPI_STRICT=strict)

    assert (done.returncode, done.stderr) == (FINE, b"")


@pytest.mark.parametrize(
    "words",
    [*lines_of(SILENT), ("job", "start", *PRINTING["job start"])],
    ids=" ".join,
)
@pytest.mark.parametrize("fault", ["key", "outbox", "step"])
def test_report_that_fails_makes_no_command_fail(
    machine: Machine,
    folder: Path,
    words: tuple[str, ...],
    fault: str,
) -> None:
    """With `TRACKERAPI_STRICT`, a command that reports succeeds as without it."""
    (folder / "blocker").touch()
    settings = {
        "key": {"TRACKERAPI_API_KEY": "trk_aaaaaaaa_wrong_key"},
        "outbox": {"TRACKERAPI_OUTBOX": str(folder / "blocker" / "outbox")},
        "step": {},
    }[fault]
    if fault == "step":
        words = tuple("lod" if word == "load" else word for word in words)

    done = call(machine, folder, words, **settings, TRACKERAPI_STRICT="1")

    assert done.returncode == FINE
    assert b"Traceback" not in done.stderr
    assert b"TRACKERAPI_STRICT" not in done.stderr
