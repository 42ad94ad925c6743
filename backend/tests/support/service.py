"""Backend for tests: a separate process with a real port and its own folder."""

from __future__ import annotations

import io
import json
import logging
import os
import ssl
import subprocess
import sys
from contextlib import (
    ExitStack,
    closing,
    contextmanager,
    redirect_stderr,
    redirect_stdout,
)
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from unittest.mock import patch
from uuid import uuid4

import httpx
from trackerapi_backend.cli.database import open_pepper, open_store
from trackerapi_backend.cli.main import main
from trackerapi_backend.instants import format_instant, utc_now
from trackerapi_backend.jobs.providers import create_api_key, create_customer
from trackerapi_backend.settings import storage_from
from trackerapi_backend.store import providers as stored_providers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_WAIT_SECONDS = 60.0
"""Maximum wait for a response or the end of a process, in seconds.

The wait is long because a busy machine is slow.
"""

CUSTOMER = 142
OTHER_CUSTOMER = 7
STEPS = [
    {"tag": "load", "name": "Load", "points": 1},
    {"tag": "store", "name": "Store", "points": 3},
]
TUTORIAL = {
    "tag": "my_job",
    "name": "My Job",
    "step_configurations": [
        {"tag": "say_hello", "name": "Say Hello", "points": 10},
        {"tag": "random_number", "name": "Generate Random Number", "points": 15},
        {"tag": "say_bye", "name": "Say Bye", "points": 10},
    ],
}

# Created once: reading the certificates of the machine is slower than most tests.
_TLS = ssl.create_default_context()
_COMMAND = (sys.executable, "-m", "trackerapi_backend")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A running backend with two providers.

    Attributes:
        keys: Keys by purpose: `all`, `ingest`, `read`, `admin` and `expired` of one
            provider, `other` of another provider.
        pid: Process id of the backend; 0 if no test needs the id.
    """

    base_url: str
    keys: dict[str, str] = field(repr=False)
    pid: int = 0

    def client(self, key: str | None = "all") -> httpx.Client:
        """Return a client with one of the keys, or without a key."""
        headers = {} if key is None else {"X-API-Key": self.keys[key]}
        return httpx.Client(
            base_url=self.base_url,
            headers=headers,
            timeout=MAX_WAIT_SECONDS,
            verify=_TLS,
        )


@contextmanager
def start_command(
    *arguments: str,
    environment: dict[str, str] | None = None,
    prelude: str | None = None,
    log: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> Iterator[subprocess.Popen[str]]:
    """Run a command of the backend; kill it at the end of the block.

    Args:
        arguments: Arguments of the command.
        environment: Variables in addition to the environment of this process.
        prelude: Python code that the process runs before the command.
        log: File for the stderr of the command; None discards it.
        pass_fds: Descriptors that the process inherits.
    """
    with (
        Path(log or os.devnull).open("a") as stderr,
        subprocess.Popen(
            [*_program(prelude), *arguments],
            env=os.environ | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            errors="surrogateescape",
            pass_fds=pass_fds,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def _program(prelude: str | None) -> Sequence[str]:
    if prelude is None:
        return _COMMAND
    start = "import sys; from trackerapi_backend.cli.main import main; sys.exit(main())"
    return [sys.executable, "-c", f"{prelude}\n{start}"]


def first_line(process: subprocess.Popen[str]) -> str:
    """Return the first line of a server, printed once the server accepts requests."""
    assert process.stdout is not None
    line = _line(process.stdout)
    assert line, "the server ended before it took requests"
    return line


def _line(stream: IO[str]) -> str:
    return stream.readline().strip()


def command(
    *arguments: str,
    environment: dict[str, str] | None = None,
    prelude: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command of the backend to its end; arguments as for `start_command()`."""
    return subprocess.run(
        [*_program(prelude), *arguments],
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=MAX_WAIT_SECONDS,
        check=False,
    )


def command_here(
    *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, in a tenth of the time of `command()`."""
    output, errors = io.StringIO(), io.StringIO()
    with (
        same_logging(),
        patch.dict(os.environ, environment or {}),
        redirect_stdout(output),
        redirect_stderr(errors),
    ):
        try:
            status = main(arguments)
        except SystemExit as end:
            status = int(end.code or 0)
    return subprocess.CompletedProcess(
        arguments, status, output.getvalue(), errors.getvalue()
    )


@contextmanager
def same_logging() -> Iterator[None]:
    """Restore the configuration of logging, which `dev` and `serve` change."""
    root, own = logging.getLogger(), logging.getLogger("trackerapi_backend")
    handlers, levels = root.handlers[:], (root.level, own.level)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        own.setLevel(levels[1])


def error_line(result: subprocess.CompletedProcess[str]) -> str:
    """Check that a command failed with one line on stderr; return the line.

    The returned line has no prefix `trackerapi-backend: `.
    """
    assert result.returncode == 1, result
    [line] = result.stderr.splitlines()
    return line.removeprefix("trackerapi-backend: ")


def variables_of(folder: Path, url: str | None = None) -> dict[str, str]:
    """Return the variables of a backend with its files in a folder.

    Args:
        folder: Folder of the pepper file, and of the SQLite file.
        url: Address of a PostgreSQL database; None for SQLite.
    """
    name, value = ("DATABASE_URL", url) if url else ("DATABASE", folder / "backend.db")
    return {
        f"TRACKERAPI_BACKEND_{name}": str(value),
        "TRACKERAPI_BACKEND_PEPPER_FILE": str(folder / "pepper"),
        "TRACKERAPI_BACKEND_ERASURES_FILE": str(folder / "erasures"),
    }


def prepare(folder: Path, url: str | None = None) -> dict[str, str]:
    """Create the schema and two providers; return their keys.

    Args:
        folder: Folder of the backend's files.
        url: Address of an empty PostgreSQL database; None for SQLite.
    """
    storage = storage_from({}, variables_of(folder, url))
    past = utc_now() - timedelta(seconds=1)
    with ExitStack() as stack:
        store = stack.enter_context(closing(open_store(storage, migrate=True)))
        pepper = open_pepper(store, storage, create=True)
        db = stack.enter_context(store.transaction())
        one = stored_providers.create_provider(db, "One", now=utc_now())
        two = stored_providers.create_provider(db, "Two", now=utc_now())
        create_customer(db, one, CUSTOMER)
        create_customer(db, two, OTHER_CUSTOMER)
        scopes = {
            "all": ("ingest", "read", "admin"),
            "ingest": ("ingest",),
            "read": ("read",),
            "admin": ("admin",),
        }
        keys = {
            name: create_api_key(db, pepper, one, name, of_key).api_key
            for name, of_key in scopes.items()
        }
        expired = create_api_key(db, pepper, one, "old", ("read",), expires_at=past)
        other = create_api_key(db, pepper, two, "other", scopes["all"])
    return {**keys, "expired": expired.api_key, "other": other.api_key}


@contextmanager
def serve_new(folder: Path, url: str | None = None) -> Iterator[Service]:
    """Serve a new database; the arguments are those of `prepare()`."""
    with serve_existing(folder, prepare(folder, url), url) as (_process, service):
        yield service


@contextmanager
def serve_existing(
    folder: Path,
    keys: dict[str, str],
    url: str | None = None,
    *,
    prelude: str | None = None,
    port: int = 0,
    environment: dict[str, str] | None = None,
) -> Iterator[tuple[subprocess.Popen[str], Service]]:
    """Serve an existing database, which `prepare()` has made.

    Args:
        folder: Folder of the backend's files.
        keys: Keys that `prepare()` has returned.
        url: Address of a PostgreSQL database; None for SQLite.
        prelude: Python code that the server runs at its start.
        port: Port of the server; 0 for any free port.
        environment: Further variables of the server.
    """
    with start_command(
        *("serve", "--port", str(port)),
        environment=variables_of(folder, url) | (environment or {}),
        prelude=prelude,
    ) as process:
        base_url = first_line(process).split()[-1]
        yield process, Service(base_url=base_url, keys=keys, pid=process.pid)


def new_name() -> str:
    """Return a unique name."""
    return f"n-{uuid4().hex}"


def new_job(api: httpx.Client, **members: Any) -> dict[str, Any]:
    """Create a job with two steps: Load with 1 point, Store with 3 points."""
    tag = new_name()
    sent = {
        "provider_job_id": new_name(),
        "customer_id": CUSTOMER,
        "tag": tag,
        "configuration": {"tag": tag, "name": "Import", "step_configurations": STEPS},
    }
    answer = api.post("/jobs", json=sent | members)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def create_short_lived(api: httpx.Client, path: str, **members: Any) -> dict[str, Any]:
    """Create a credential that expires in 2 s, or in up to 30 s on a slow machine."""
    for seconds in (2, 8, 30):
        ends = format_instant(utc_now() + timedelta(seconds=seconds))
        answer = api.post(path, json=members | {"expires_at": ends})
        if answer.status_code == 201:
            break
    return dict(answer.json())


def report(api: httpx.Client, job: dict[str, Any], **event: Any) -> dict[str, Any]:
    """Report one event of a job; return the stored event."""
    sent = {"provider_job_id": job["provider_job_id"], **event}
    answer = api.post("/events", json=sent)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def send_lines(
    api: httpx.Client, lines: Sequence[bytes | dict[str, Any]], **headers: str
) -> httpx.Response:
    """Report a batch; each line is an event, or bytes that are sent unchanged."""
    body = b"\n".join(
        line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines
    )
    return api.post(
        "/events/batch",
        content=body,
        headers={"Content-Type": "application/x-ndjson", **headers},
    )


def pages_of(api: httpx.Client, path: str, **query: Any) -> Iterator[httpx.Response]:
    """Yield the response of each page of a list.

    Args:
        api: Client with a key.
        path: Path of the list.
        query: Filters of the list, and `limit`.
    """
    cursor: dict[str, str] = {}
    while True:
        answer = api.get(path, params=query | cursor)
        assert answer.status_code == 200, answer.text
        yield answer
        following = answer.json()["next_cursor"]
        if following is None:
            return
        cursor = {"cursor": following}


def all_items(api: httpx.Client, path: str, **query: Any) -> list[Any]:
    """Return the items of all pages of a list; arguments as for `pages_of()`."""
    query = {"limit": 200} | query
    pages = pages_of(api, path, **query)
    return [item for answer in pages for item in answer.json()["items"]]


def problem_name(answer: httpx.Response) -> str:
    """Check that a response has a complete problem; return the name of the problem."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["title"]
    assert problem["detail"]
    return str(problem["type"]).removeprefix("urn:trackerapi:problem:")
