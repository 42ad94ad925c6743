"""Commands beside a running server on SQLite, which the server executes."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from backend.tests.support.service import (
    Service,
    command_here,
    error_line,
    prepare,
    serve_existing,
    variables_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from subprocess import CompletedProcess

RANDOM = re.compile(
    r"trk_\w+|\b[A-Za-z0-9]{8}\b(?=\t)|(?<=key_id )\w{8}|\d{4}-\d\d-\d\dT[\d:.]+Z"
    r'|(?<="id": )\d+|(?<="provider_id": )\d+|(?<=provider )\d+'
)
"""Parts of the output that differ from run to run: keys, ids and times."""


@dataclass(frozen=True, slots=True)
class Served:
    """Database of a running server."""

    folder: Path
    service: Service

    def run(self, *arguments: str) -> CompletedProcess[str]:
        """Run a command on the database."""
        return command_here(*arguments, environment=variables_of(self.folder))


def outcome(done: CompletedProcess[str]) -> tuple[int, str, str]:
    """Return status and output of a command, without the random parts."""
    return done.returncode, RANDOM.sub("*", done.stdout), done.stderr


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A running server, for all tests of the module."""
    folder = tmp_path_factory.mktemp("served")
    with serve_existing(folder, prepare(folder)) as (_process, service):
        yield Served(folder, service)


def test_key_that_a_command_creates_beside_a_server_is_valid(served: Served) -> None:
    """`key create` prints a key that the running server accepts at once."""
    created = served.run("key", "create", "--label", "new", "--scope", "read")
    assert created.returncode == 0, created.stderr
    service = Service(
        base_url=served.service.base_url, keys={"new": created.stdout.strip()}
    )
    with service.client("new") as api:
        assert api.get("/jobs").status_code == 200


def test_only_the_owner_may_connect_to_the_server(served: Served) -> None:
    """The socket of the server has mode 600."""
    status = (served.folder / "backend.db.socket").lstat()
    assert stat.S_ISSOCK(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o600


@pytest.mark.parametrize(
    "arguments",
    [("migrate",), ("serve", "--port", "0"), ("import", "old.export")],
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
    """Each command has the same output and exit status beside a server as without."""
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
        ("export", str(tmp_path / "missing" / "x.export")),
    ]
    for line in lines:
        beside = served.run(*line)
        alone = command_here(*line, environment=variables_of(tmp_path))
        assert outcome(beside) == outcome(alone), line
