"""UNIX socket of a server: its file, its users, and servers that do not answer."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
from trackerapi_backend.cli import server_client
from trackerapi_backend.control import commands, execution, socket_file
from trackerapi_backend.control.commands import MAX_RUNNING, Commands
from trackerapi_backend.control.messages import Request
from trackerapi_backend.control.socket_file import connect, is_trusted, listening
from trackerapi_backend.store.sqlite import SqliteStore
from trackerapi_backend.store.writer import Writer

from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    command_here,
    error_line,
    prepare,
    serve_existing,
    variables_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from trackerapi_backend.control.execution import Execution

NOBODY = 65534


def exchange(database: Path, listener: socket.socket | None) -> bytes:
    """Connect to a listener and send bytes; return the received bytes."""
    assert listener is not None
    with connect(database, MAX_WAIT_SECONDS) as one:
        other, _address = listener.accept()
        with other:
            one.sendall(b"carried")
            return other.recv(100)


@pytest.mark.parametrize("length", [10, 100, 150, 1000, 3000])
def test_path_of_any_length_has_a_socket(tmp_path: Path, length: int) -> None:
    """A path longer than the maximum of a socket address works on Linux."""
    folder = tmp_path
    while len(str(folder)) < length:
        folder /= "f" * 50
    folder.mkdir(parents=True, exist_ok=True)
    database = folder / "backend.db"
    database.touch()
    with listening(database) as listener:
        assert exchange(database, listener) == b"carried"
    assert [file.name for file in folder.iterdir()] == ["backend.db"]


def test_socket_of_a_killed_server_is_replaced(tmp_path: Path) -> None:
    """A socket without a listening process is replaced."""
    database = tmp_path / "backend.db"
    database.touch()
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / "backend.db.socket"))
    with listening(database) as listener:
        assert exchange(database, listener) == b"carried"


@pytest.mark.parametrize("kind", ["file", "link", "folder", "listener", "long name"])
def test_foreign_file_is_left_and_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """The server logs one warning, and leaves a file that it has not made."""
    database = tmp_path / ("n" * 200 if kind == "long name" else "backend.db")
    path = database.with_name(f"{database.name}.socket")
    with socket.socket(socket.AF_UNIX) as other:
        match kind:
            case "file":
                path.write_text("text")
            case "link":
                path.symlink_to(tmp_path / "elsewhere")
            case "folder":
                path.mkdir()
            case "listener":
                other.bind(str(path))
                other.listen()
        with listening(database) as listener:
            assert listener is None
    assert os.path.lexists(path) is (kind != "long name")
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert str(path) in record.getMessage()


def test_file_that_replaces_the_socket_is_left(tmp_path: Path) -> None:
    """At its end, the server removes only its own socket."""
    path = tmp_path / "backend.db.socket"
    with listening(tmp_path / "backend.db"):
        path.unlink()
        path.write_text("text")
    assert path.read_text() == "text"


def test_other_users_are_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of another user is rejected even if the socket lets it connect."""
    if os.geteuid() != 0:
        pytest.skip("only root can connect as another user")
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o711)
    with listening(tmp_path / "backend.db") as listener:
        assert listener is not None
        (tmp_path / "backend.db.socket").chmod(0o666)
        with socket.socket(socket.AF_UNIX) as client:
            os.seteuid(NOBODY)
            try:
                client.connect("backend.db.socket")
            finally:
                os.seteuid(0)
            other, _address = listener.accept()
        with other:
            assert not is_trusted(other)
            assert is_trusted(other, NOBODY)


@contextmanager
def locked(folder: Path) -> Iterator[tuple[socket.socket, str]]:
    """Lock a database and listen on its socket, without answering."""
    prepare(folder)
    database = folder / "backend.db"
    with closing(SqliteStore(database)), listening(database) as listener:
        assert listener is not None
        yield listener, str(database)


def failure(folder: Path, *command: str) -> str:
    """Return the error of a command, by default of `customer create`."""
    words = command or ("customer", "create")
    return error_line(command_here(*words, environment=variables_of(folder)))


def test_server_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command ends after its time limit if the server does not answer."""
    monkeypatch.setattr(server_client, "SILENCE_SECONDS", 0.1)
    with locked(tmp_path) as (_listener, database):
        line = failure(tmp_path)
    assert line.startswith(f"the server of {database} does not answer")
    assert "may be stored" in line


@pytest.mark.parametrize("sent", [b"", b"{}\n", b'{"lines": ["1"]}\n', b"no JSON\n"])
def test_server_that_ends_during_a_command_is_reported(
    tmp_path: Path, sent: bytes
) -> None:
    """If the answer is incomplete, the error says that the server has ended."""

    def answer(listener: socket.socket) -> None:
        connection, _address = listener.accept()
        with connection:
            connection.recv(100_000)
            connection.sendall(sent)

    with locked(tmp_path) as (listener, _database):
        server = threading.Thread(target=answer, args=(listener,))
        server.start()
        line = failure(tmp_path)
        server.join()
    assert line.startswith("the server ended before the end of the command")


@pytest.mark.parametrize(
    "command", [("key", "list"), ("export", "new.export")], ids=" ".join
)
def test_database_in_use_without_a_server_is_reported(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    """If the process with the lock has no socket, the error reports the lock."""
    with locked(tmp_path) as (_listener, database):
        (tmp_path / "backend.db.socket").unlink()
        line = failure(tmp_path, *command)
    assert line.startswith(f"{database} is in use by another trackerapi-backend")


def test_long_command_line_is_rejected_before_it_is_sent(tmp_path: Path) -> None:
    """The error for arguments above the size limit contains the limit."""
    name = ("--provider", "x", "--name", "x" * 200_000)
    with locked(tmp_path):
        line = error_line(
            command_here(
                "customer", "create", *name, environment=variables_of(tmp_path)
            )
        )
    assert "131,072 bytes" in line


def test_command_waits_while_the_queue_of_the_server_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the queue is full, a command waits until its time limit, then fails."""
    monkeypatch.setattr(socket_file, "BACKLOG", 0)
    monkeypatch.setattr(server_client, "SILENCE_SECONDS", 0.1)
    with locked(tmp_path) as (listener, database):
        with connect(tmp_path / "backend.db", MAX_WAIT_SECONDS):
            assert failure(tmp_path).startswith(f"the server of {database} does not")
            with ThreadPoolExecutor() as pool:
                waiting = pool.submit(
                    connect, tmp_path / "backend.db", MAX_WAIT_SECONDS
                )
                listener.accept()[0].close()
                waiting.result().close()


def print_lines(words: Sequence[str], printing: Execution) -> str | None:
    """Print one line for a command, and lines without end for `endless`."""
    while True:
        printing.print_line("x" * 10_000)
        if words != ["endless"]:
            return None


def test_program_that_takes_no_output_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that reads nothing loses its connection, and other commands go on."""
    for module in (commands, execution):
        monkeypatch.setattr(module, "SEND_SECONDS", 0.1)
    prepare(tmp_path)
    database = tmp_path / "backend.db"

    def send(words: Sequence[str]) -> socket.socket:
        connection = connect(database, MAX_WAIT_SECONDS)
        connection.sendall(Request(arguments=words).encode())
        return connection

    def ask() -> list[bytes]:
        stuck = [send(["endless"]) for _ in range(MAX_RUNNING + 1)]
        with send(["key", "list"]) as connection, connection.makefile("rb") as lines:
            answer = list(lines)
        for each in stuck:
            each.close()
        return answer

    async def scenario(listener: socket.socket, writer: Writer) -> list[bytes]:
        served = Commands(listener, print_lines, writer)
        answer = await asyncio.to_thread(ask)
        await served.close(MAX_WAIT_SECONDS)
        return answer

    with (
        closing(SqliteStore(database)) as store,
        closing(Writer(store)) as writer,
        listening(database) as listener,
    ):
        assert listener is not None
        answer = asyncio.run(scenario(listener, writer))
    assert json.loads(answer[-1]) == {"error": None}


def test_program_that_ends_at_once_is_no_defect_of_the_server(tmp_path: Path) -> None:
    """A program that ends before the answer to its command causes no error in the log.

    The server runs uvloop, whose transports raise other errors than those of asyncio.
    """
    log = {"TRACKERAPI_BACKEND_LOG_FILE": str(tmp_path / "log")}
    with serve_existing(tmp_path, prepare(tmp_path), environment=log) as (server, _):
        for _number in range(20):
            with connect(tmp_path / "backend.db", MAX_WAIT_SECONDS) as program:
                program.sendall(Request(arguments=["key", "list"]).encode())
        listed = command_here("key", "list", environment=variables_of(tmp_path))
        assert listed.returncode == 0, listed.stderr
        server.terminate()
        assert server.wait(MAX_WAIT_SECONDS) == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {line["level"] for line in lines} == {"INFO"}
