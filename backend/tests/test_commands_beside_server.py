"""Commands on SQLite that a running server executes."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from trackerapi_backend.control.messages import MAX_REQUEST_BYTES, Request
from trackerapi_backend.control.socket_file import connect

from backend.tests.support.pages import new_link
from backend.tests.support.servers import wait_until
from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    Service,
    command_here,
    error_line,
    first_line,
    new_job,
    prepare,
    start_command,
    variables_of,
)
from backend.tests.support.streams import open_stream

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path
    from subprocess import CompletedProcess

RANDOM = re.compile(
    r"trk_\w+|\b[A-Za-z0-9]{8}\b(?=\t)|(?<=key_id )\w{8}|\d{4}-\d\d-\d\dT[\d:.]+Z"
    r'|(?<="id": )\d+|(?<="provider_id": )\d+|(?<=provider )\d+'
)
"""Parts of the output that differ from run to run: keys, ids and times."""


ENDLESS_PROFILE = """
import os, time
from trackerapi_backend.control import commands
from trackerapi_backend.store import providers

def update_profile(*_, **__):
    open(os.environ["BEGAN"], "w").close()
    time.sleep(1_000_000)

commands.ALIVE_SECONDS = 0.05
providers.update_profile = update_profile
"""


@dataclass(frozen=True, slots=True)
class Served:
    """Database of a running server."""

    folder: Path
    service: Service

    def run(self, *arguments: str) -> CompletedProcess[str]:
        """Run a command on the database."""
        return command_here(*arguments, environment=variables_of(self.folder))

    def printed(self, *arguments: str) -> str:
        """Run a command that succeeds; return its output."""
        done = self.run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip()

    def status(self, key: str) -> int:
        """Return the status of a request with a key."""
        headers = {"X-API-Key": key}
        url = f"{self.service.base_url}/jobs"
        return httpx.get(url, headers=headers, timeout=MAX_WAIT_SECONDS).status_code

    def connect(self) -> socket.socket:
        """Connect to the server as a command does."""
        return connect(self.folder / "backend.db", MAX_WAIT_SECONDS)

    def ask(self, sent: bytes) -> list[dict[str, Any]]:
        """Send bytes as a command does; return the messages of the answer."""
        with self.connect() as connection:
            # The server may close the connection before it has read everything.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(sent)
            return messages(connection)


def messages(connection: socket.socket) -> list[dict[str, Any]]:
    """Return all messages of a server up to the end of the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while part := connection.recv(100_000):
            received += part
    # A test may have read the beginning of the first line.
    lines = received.rpartition(b"{}\n")[2].splitlines()
    return [json.loads(line) for line in lines]


def outcome(done: CompletedProcess[str], folder: Path) -> tuple[int, str, str]:
    """Return status and output of a command, without the parts that differ."""
    errors = done.stderr.replace(f"{folder}/pepper", "PEPPER")
    return done.returncode, RANDOM.sub("*", done.stdout), errors


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A running server, for all tests of the module; its log has no key."""
    folder = tmp_path_factory.mktemp("served")
    keys, log = prepare(folder), folder / "log"
    with start_command(
        *("serve", "--port", "0"), environment=variables_of(folder), log=log
    ) as process:
        base_url = first_line(process).split()[-1]
        yield Served(folder, Service(base_url=base_url, keys=keys))
        process.terminate()
        assert process.wait(MAX_WAIT_SECONDS) == 0
    assert "trk_" not in log.read_text()
    assert not (folder / "backend.db.socket").exists()


def test_created_key_is_valid_and_expired_key_is_not(served: Served) -> None:
    """The running server accepts a new key, and rejects it after `key expire`."""
    key = served.printed("key", "create", "--label", "new", "--scope", "read")
    assert served.status(key) == 200
    served.printed("key", "expire", key)
    assert served.status(key) == 401


def test_changed_profile_reaches_an_open_page(served: Served) -> None:
    """A page that is open shows the profile of `provider set` at once."""
    with served.service.client() as api:
        link = new_link(api, new_job(api))
    with (
        httpx.Client(timeout=MAX_WAIT_SECONDS) as reader,
        open_stream(reader, f"{link['url']}/stream") as stream,
    ):
        stream.message()
        served.printed("provider", "set", "--display-name", "New name")
        assert "New name" in stream.message().data["parts"]["provider"]


@pytest.mark.parametrize("is_token", [True, False])
def test_expired_key_ends_its_stream(served: Served, *, is_token: bool) -> None:
    """`key expire` ends the stream of a key or job token before the next heartbeat."""
    with served.service.client() as api:
        job = new_job(api)
        if is_token:
            key = api.post(f"/jobs/{job['id']}/tokens", json={}).json()["token"]
        else:
            key = served.printed("key", "create", "--label", "new", "--scope", "read")
    service = Service(base_url=served.service.base_url, keys={"made": key})
    with (
        service.client("made") as api,
        open_stream(api, f"/jobs/{job['id']}/stream") as stream,
    ):
        stream.message()
        served.printed("key", "expire", key)
        # A stream that has not ended at once would send a comment first.
        assert list(stream.blocks()) == []


def test_commands_at_the_same_time_are_all_executed(served: Served) -> None:
    """100 changes at a time are all made, each once."""
    request = Request(arguments=["customer", "create"]).encode()
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: served.ask(request), range(100)))
    ids = {answer[0]["lines"][0] for answer in answers}
    assert len(ids) == 100
    assert {answer[-1]["error"] for answer in answers} == {None}


def test_broken_clients_block_no_command(served: Served) -> None:
    """Silent, slow and garbled connections are bounded; other commands are executed."""
    with ExitStack() as stack:
        for sent in [b"", b'{"arguments": ["key"'] * 10:
            stack.enter_context(served.connect()).sendall(sent)
        assert "expires" in served.printed("key", "list")
        for garbled in (
            b"key list\n",
            b"\xff\x00\n",
            b"[]\n",
            b'{"arguments": "key list", "version": "1"}\n',
            b'{"arguments": [1], "version": "1"}\n',
            b"[" * 100_000 + b"\n",
            b"x" * MAX_REQUEST_BYTES * 80,
        ):
            for message in served.ask(garbled):
                assert "not understood" in message["error"]
        assert "expires" in served.printed("key", "list")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["migrate"],
        ["serve"],
        ["dev"],
        ["import", "old.export"],
        ["--help"],
        ["--version"],
        ["key", "create", "--help"],
        ["key", "destroy"],
        ["customer", "create", "--id", "x"],
    ],
    ids=" ".join,
)
def test_server_executes_known_commands_alone(served: Served, words: list[str]) -> None:
    """A command line that the program itself would not send gets an error."""
    [answer] = served.ask(Request(arguments=words).encode())
    assert answer["error"]
    assert served.status(served.service.keys["read"]) == 200


def test_program_of_another_release_is_rejected(served: Served) -> None:
    """The error for the program of another release names both releases."""
    request = Request(arguments=["key", "list"], version="99.9").encode()
    [answer] = served.ask(request)
    assert "release 99.9: run the command of the server's release" in answer["error"]


def test_export_beside_a_server_is_complete(served: Served, tmp_path: Path) -> None:
    """`import` of an export of a running server prints the same numbers."""
    file = tmp_path / "new.export"
    exported = served.printed("export", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (tmp_path / "pepper").write_bytes((served.folder / "pepper").read_bytes())
    environment = variables_of(tmp_path)
    assert command_here("migrate", environment=environment).returncode == 0
    imported = command_here("import", str(file), environment=environment)
    assert imported.stdout.strip() == exported


def test_output_that_fails_does_not_hide_the_change(served: Served) -> None:
    """If the output is full, the error says that the change is stored nevertheless."""
    new = ("customer", "create", "--id", "815", "--name", "Ward")
    with open("/dev/full", "w") as full:  # noqa: PTH123 -- a device
        done = subprocess.run(
            [sys.executable, "-m", "trackerapi_backend", *new],
            env=variables_of(served.folder),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=MAX_WAIT_SECONDS,
            check=False,
        )
    assert done.returncode == 1
    assert "a change of this command is stored nevertheless" in done.stderr
    assert "815\t-\tWard" in served.printed("customer", "list")


def test_end_of_the_server_says_what_is_stored(tmp_path: Path) -> None:
    """After SIGTERM, the error of each command says whether its change is stored."""
    began, log = tmp_path / "began", tmp_path / "log"
    words = ["provider", "set", "--display-name", "New name"]
    request = Request(arguments=words).encode()
    with ExitStack() as stack:
        process = stack.enter_context(
            start_command(
                *("dev", "--port", "0", "--data-dir", str(tmp_path)),
                environment={"BEGAN": str(began)},
                prelude=ENDLESS_PROFILE,
                log=log,
            )
        )
        first_line(process)
        running, waiting = (
            stack.enter_context(connect(tmp_path / "backend.db", MAX_WAIT_SECONDS))
            for _ in range(2)
        )
        running.sendall(request)
        wait_until(began.exists)
        waiting.sendall(request)
        # The first message shows that the server has read the command.
        waiting.recv(1)
        process.terminate()
        assert process.wait(MAX_WAIT_SECONDS) == 0
        errors = [messages(each)[-1]["error"] for each in (running, waiting)]
    assert "the server stops: it is not known whether the change is stored" in errors[0]
    assert errors[1].startswith("the server stops: ")
    assert "no change is stored" in errors[1]
    assert "Traceback" not in log.read_text()


def test_only_the_owner_may_connect_to_the_server(served: Served) -> None:
    """The socket of the server has mode 600."""
    status = (served.folder / "backend.db.socket").lstat()
    assert stat.S_ISSOCK(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o600


@pytest.mark.parametrize(
    "arguments",
    [("migrate",), ("import", "old.export")],
    ids=" ".join,
)
def test_command_that_needs_the_file_alone_names_the_server(
    served: Served, arguments: tuple[str, ...]
) -> None:
    """A command that needs the database for itself says to stop the server."""
    line = error_line(served.run(*arguments))
    assert "is in use by another trackerapi-backend: stop the other process" in line


def test_commands_print_the_same_with_and_without_a_server(
    served: Served, tmp_path: Path
) -> None:
    """A running server changes no output and no exit status of a command."""
    logo = tmp_path / "logo.png"
    logo.write_bytes(b"no image")
    prepare(tmp_path)
    provider = ("--provider", "Both ways")
    lines = [
        ("key", "create", *provider, "--label", "a b=c -- d", "--scope", "admin"),
        (
            *("key", "create", *provider, "--label", "x", "--scope", "read"),
            *("--scope", "ingest", "--expires-at", "2040-01-01T00:00:00.5+02:00"),
        ),
        ("key", "create", *provider, "--label", "x" * 200),
        ("key", "create", *provider, "--label=-x", "--expires-at=2020-01-01T00:00:00Z"),
        ("key", "list", *provider),
        ("key", "list", "--provider", "Unknown"),
        ("key", "expire", *provider, "--", "-nokey--"),
        ("customer", "create", *provider, "--id", "4711", "--reference", "é ü"),
        ("customer", "create", *provider, "--id", "4711"),
        ("customer", "create", *provider, "--reference", "é ü"),
        ("customer", "create", *provider, "--name", "x" * 101),
        ("customer", "list", *provider),
        ("provider", "set", *provider, "--display-name", "N", "--accent", "#0c6a60"),
        ("provider", "set", *provider, "--accent", "#ffffff"),
        ("provider", "set", *provider, "--mark", str(logo)),
        ("provider", "set", *provider, "--unset", "accent", "--unset", "mark"),
        ("provider", "show", *provider),
        ("audit", *provider, "--limit", "3", "--json"),
        ("audit", *provider, "--since", "2020-01-01T00:00:00Z"),
        ("audit", "--all", *provider),
        ("customer", "erase", *provider, "--yes", "4711"),
        ("customer", "erase", *provider, "--yes", "4711"),
        ("job", "erase", *provider, "--yes", "--provider-job-id", "unknown"),
        ("job", "erase", *provider, "4711"),
        ("pepper", "status"),
        ("pepper", "finish"),
        ("export", str(tmp_path / "missing" / "x.export")),
    ]
    for line in lines:
        beside = served.run(*line)
        alone = command_here(*line, environment=variables_of(tmp_path))
        assert outcome(beside, served.folder) == outcome(alone, tmp_path), line
