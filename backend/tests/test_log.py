"""Log of the server: facts about each request, and no secrets."""

from __future__ import annotations

import io
import json
import logging
import socket
import sqlite3
import time
from contextlib import ExitStack, closing
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from trackerapi_backend.logs import LogStream

from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    Service,
    command,
    first_line,
    new_job,
    prepare,
    send_lines,
    start_command,
    variables_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Lines = list[dict[str, Any]]

SECRET = "Mrs-Example's-diagnosis"

# Faults of the table `events` by engine.
TRIGGER = "CREATE TRIGGER fault AFTER INSERT ON events"
BAD_TEXT = "UPDATE events SET message = CAST(message || X'FF' AS TEXT)"
SQLITE_FAULTS = {
    "constraint": f"{TRIGGER} BEGIN SELECT RAISE(ABORT, 'fault'); END",
    "value": f"{TRIGGER} BEGIN {BAD_TEXT}; END",
}
POSTGRES_FAULTS = {
    "constraint": "ALTER TABLE events ADD CONSTRAINT fault CHECK (message IS NULL)",
    "value": f"""CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM NEW.message::integer; RETURN NULL; END';
        {TRIGGER} FOR EACH ROW EXECUTE FUNCTION fault()""",
}


def read_lines(log: Path, count: int) -> Lines:
    """Return the lines of requests in a log, once there are `count`.

    The server writes the line after it has sent the response.
    """
    ends = time.monotonic() + MAX_WAIT_SECONDS
    while time.monotonic() < ends:
        lines = [json.loads(line) for line in log.read_text().split("\n")[:-1]]
        found = [line for line in lines if line["message"] == "request"]
        if len(found) >= count:
            return found
        time.sleep(0.01)
    raise AssertionError(log.read_text())


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log file."""
    return tmp_path / "log"


@pytest.fixture
def logged(tmp_path: Path, log: Path) -> Iterator[Service]:
    """A backend that writes the log file."""
    keys = prepare(tmp_path)
    database = {"TRACKERAPI_BACKEND_DATABASE": str(tmp_path / "backend.db")}
    with start_command(
        "serve", "--port", "0", environment=database, log=log
    ) as process:
        base_url = first_line(process).split()[-1]
        yield Service(base_url=base_url, keys=keys, pid=process.pid)
        process.terminate()
        process.wait(MAX_WAIT_SECONDS)


def test_each_request_is_logged_with_operation_provider_and_key(
    logged: Service, log: Path
) -> None:
    """The log line of a request contains its operation, status, provider and key id."""
    key_id = logged.keys["all"].split("_")[1]
    with logged.client() as api:
        job = new_job(api)
        api.get(f"/jobs/{job['id']}")
        api.post("/jobs", json={})
        send_lines(api, [b"{}"])
        api.get("/jobs", params={"limit": 0})
    with logged.client("expired") as late:
        late.get("/jobs")
    with logged.client(None) as anyone:
        for path in ("/livez", "/jobs", "/nowhere", "/docs", "/"):
            anyone.get(path)
    lines = read_lines(log, 11)
    seen = [(line["operation"], line["status"]) for line in lines]
    assert seen == [
        ("create_job", 201),
        ("get_job", 200),
        ("create_job", 422),
        ("import_events", 200),
        ("list_jobs", 422),
        ("list_jobs", 401),
        ("livez", 200),
        ("list_jobs", 401),
        (None, 404),
        ("reference_page", 200),
        ("front_page", 200),
    ]
    callers = [(line["provider_id"], line["key_id"]) for line in lines]
    assert callers[:5] == [(1, key_id)] * 5
    assert callers[5] == (1, logged.keys["expired"].split("_")[1])
    assert callers[6:] == [(None, None)] * 5


def test_each_answered_request_is_in_the_log_after_the_shutdown(
    tmp_path: Path, log: Path
) -> None:
    """A server that ends in order has logged all requests that it has answered."""
    prepare(tmp_path)
    request = b"GET /livez HTTP/1.1\r\nHost: backend\r\n\r\n"
    with start_command(
        *("serve", "--port", "0"), environment=variables_of(tmp_path), log=log
    ) as process:
        port = int(first_line(process).rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), MAX_WAIT_SECONDS) as sent:
            sent.sendall(request * 100)
            answers = b""
            while answers.count(b"HTTP/1.1 200 ") < 100:
                part = sent.recv(100_000)
                assert part
                answers += part
            process.terminate()
            assert process.wait(MAX_WAIT_SECONDS) == 0
    assert len(read_lines(log, 100)) == 100


@pytest.mark.parametrize("fault", ["constraint", "value"])
def test_error_of_the_database_logs_no_data_of_a_job(
    tmp_path: Path, log: Path, database_url: str | None, fault: str
) -> None:
    """A row or value that the engine or driver rejects is not in the log."""
    keys = prepare(tmp_path, database_url)
    if database_url is None:
        with closing(sqlite3.connect(tmp_path / "backend.db")) as file:
            file.execute(SQLITE_FAULTS[fault])
    else:
        with psycopg.connect(database_url) as db:
            db.execute(POSTGRES_FAULTS[fault].encode())
    environment = variables_of(tmp_path, database_url)
    with start_command(
        *("serve", "--port", "0"), environment=environment, log=log
    ) as process:
        service = Service(base_url=first_line(process).split()[-1], keys=keys)
        with service.client() as api:
            job = new_job(api)
            event = {"provider_job_id": job["provider_job_id"], "message": SECRET}
            answers = [
                api.post("/events", json=event | {"kind": "info"}),
                api.get(f"/jobs/{job['id']}/events"),
            ]
        process.terminate()
        assert process.wait(MAX_WAIT_SECONDS) == 0
    [failed] = [answer for answer in answers if answer.status_code >= 500]
    [line] = [
        line
        for line in map(json.loads, log.read_text().splitlines())
        if line["level"] == "ERROR"
    ]
    assert line["request_id"] == failed.headers["X-Request-Id"]
    assert ("traceback" in line) == (failed.status_code == 500)
    assert "diagnosis" not in log.read_text() + failed.text


def test_traceback_names_all_errors_without_their_messages() -> None:
    """The line of an error has the classes, codes and calls of its whole chain."""
    stream = io.StringIO()
    try:
        fail_in_a_group()
    except ExceptionGroup as error:
        error.add_note(SECRET)
        failed = {"msg": f"failed\n{error!r}", "exc_info": (type(error), error, None)}
        LogStream(stream).handle(logging.makeLogRecord(failed))
    line = json.loads(stream.getvalue())
    assert line["message"] == "failed"
    assert [
        text for text in line["traceback"].splitlines() if not text.startswith(" ")
    ] == [
        "builtins.KeyError",
        "sqlite3.IntegrityError SQLITE_CONSTRAINT_CHECK",
        "builtins.ExceptionGroup",
        "builtins.ValueError",
        "builtins.FileNotFoundError ENOENT",
    ]
    assert "in fail_in_a_group" in line["traceback"]
    assert SECRET not in stream.getvalue()


def fail_in_a_group() -> None:
    """Raise a group with a context, its cause, and members that quote the secret."""
    try:
        with closing(sqlite3.connect(":memory:")) as db:
            db.execute("CREATE TABLE t (a CHECK (a = 0))")
            try:
                db.execute("INSERT INTO t VALUES (1)")
            except sqlite3.IntegrityError as error:
                raise error from KeyError(SECRET)
    except sqlite3.IntegrityError:
        members = [ValueError(SECRET), FileNotFoundError(2, SECRET)]
        raise ExceptionGroup(SECRET, members)  # noqa: B904 -- a context


def test_command_creates_no_expired_key(tmp_path: Path) -> None:
    """`key create` with an end in the past fails with one line."""
    prepare(tmp_path)
    past = ("--expires-at", "2020-01-01T00:00:00Z")
    made = command(
        *("key", "create", "--label", "late", *past),
        environment={"TRACKERAPI_BACKEND_DATABASE": str(tmp_path / "backend.db")},
    )
    [line] = made.stderr.splitlines()
    assert (made.returncode, made.stdout) == (1, "")
    assert "--expires-at 2020-01-01T00:00:00Z lies in the past" in line


def test_lack_of_descriptors_costs_a_line_a_second_and_answers_go_on(
    tmp_path: Path, log: Path
) -> None:
    """Without a free descriptor, the log has an error a second; connections work."""
    keys = prepare(tmp_path)
    few = """
import resource
from trackerapi_backend.network import connections

resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))
connections.RESERVED_FILES = 0
"""
    arguments = ("serve", "--port", "0", "--database", str(tmp_path / "backend.db"))
    with (
        start_command(*arguments, prelude=few, log=log) as process,
        ExitStack() as stack,
    ):
        base_url = first_line(process).split()[-1]
        address = ("127.0.0.1", httpx.URL(base_url).port)
        service = Service(base_url=base_url, keys=keys, pid=process.pid)
        api = stack.enter_context(service.client())
        new_job(api)
        for _ in range(60):
            stack.enter_context(socket.create_connection(address))
        _wait_for(log, "no descriptor is left")
        # asyncio repeats the failing accept each second, so this covers two repeats.
        for _ in range(5):
            new_job(api)
            time.sleep(0.5)
        stack.close()
        with service.client() as api:
            assert api.get("/jobs").status_code == 200
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    complaints = [line for line in lines if line["level"] != "INFO"]
    assert all("ulimit -n" in line["message"] for line in complaints)
    assert not any("traceback" in line for line in complaints)
    times = [datetime.fromisoformat(line["at"]) for line in complaints]
    intervals = [(b - a).total_seconds() for a, b in pairwise(times)]
    assert not intervals or min(intervals) > 0.9


def _wait_for(log: Path, text: str) -> None:
    ends = time.monotonic() + MAX_WAIT_SECONDS
    while text not in log.read_text():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_server_runs_with_a_closed_stderr(tmp_path: Path) -> None:
    """A service manager may close stderr: requests are answered without a log."""
    keys = prepare(tmp_path)
    # Python has no stderr after a start with `2>&-`.
    prelude = "import os, sys; os.close(2); sys.stderr = None"
    with start_command(
        *("serve", "--port", "0"), environment=variables_of(tmp_path), prelude=prelude
    ) as process:
        service = Service(base_url=first_line(process).split()[-1], keys=keys)
        with service.client() as api:
            assert api.get("/api-keys/protected").status_code == 200
        process.terminate()
        assert process.wait(MAX_WAIT_SECONDS) == 0


def test_records_are_lost_after_the_stream_was_closed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A program that logs does not fail because the stream of the log is closed."""
    stream = io.StringIO()
    log = LogStream(stream)
    stream.close()
    log.handle(logging.makeLogRecord({"msg": "late"}))
    assert "I/O operation on closed file" in capsys.readouterr().err
