"""Level and destination of the log: settings of `serve` and `dev`."""

from __future__ import annotations

import json
import logging
import os
import socket
import stat
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from trackerapi_backend.log_file import LogFile
from trackerapi_backend.logs import LogStream

from backend.tests.support.postgres import changed_url
from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    Service,
    command_here,
    error_line,
    first_line,
    new_job,
    prepare,
    send_lines,
    start_command,
    variables_of,
)

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "TRACKERAPI_BACKEND_"
CANARY = "canarysecret"
MEMBERS = {
    *("at", "level", "message", "request_id", "method", "operation"),
    *("status", "seconds", "provider_id", "key_id"),
}


def lines_of(*files: Path) -> list[dict[str, Any]]:
    """Return the lines of log files; each line is one JSON object."""
    text = "".join(file.read_text() for file in files)
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_renamed_file_loses_no_line(tmp_path: Path) -> None:
    """Each line is in the renamed file or in the new file, in the order of writes."""
    path = tmp_path / "log"
    log = LogFile(path)
    files = [path.with_name(f"log.{number}") for number in range(1, 4)]
    for number, file in enumerate(files):
        log.write(f'{{"line":{2 * number}}}\n{{"line":{2 * number + 1}}}\n')
        path.rename(file)
    log.write('{"line":6}\n')
    assert [line["line"] for line in lines_of(*files, path)] == list(range(7))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_file_made_by_the_rotation_is_used(tmp_path: Path) -> None:
    """After a rotation that creates the new file, lines go to this file."""
    path = tmp_path / "log"
    log = LogFile(path)
    log.write("{}\n")
    path.rename(tmp_path / "log.1")
    path.touch(mode=0o640)
    log.write("{}\n")
    assert (tmp_path / "log.1").read_text() == path.read_text() == "{}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_two_processes_append_to_one_file(tmp_path: Path) -> None:
    """Lines of two writers do not overwrite each other."""
    path = tmp_path / "log"
    logs = LogFile(path), LogFile(path)
    for log in logs * 3:
        log.write("{}\n")
    assert path.read_text() == "{}\n" * 6


def test_folder_that_is_gone_costs_one_warning_and_no_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While no new file can be opened, lines go to the renamed file."""
    folder, moved = tmp_path / "logs", tmp_path / "moved"
    folder.mkdir()
    handler = LogStream(LogFile(folder / "log"))
    logger = logging.getLogger("trackerapi_backend")
    caplog.set_level(logging.WARNING, logger.name)
    logger.addHandler(handler)
    try:
        logger.error("first")
        folder.rename(moved)
        logger.error("second")
        logger.error("third")
        folder.mkdir()
        logger.error("fourth")
    finally:
        logger.removeHandler(handler)
    kept = [line["message"] for line in lines_of(moved / "log")]
    assert kept[0] == "first"
    assert kept[2:] == ["second", "third"]
    assert "cannot be opened (No such file or directory)" in kept[1]
    assert [line["message"] for line in lines_of(folder / "log")] == ["fourth"]


@pytest.mark.parametrize("command", ["serve", "dev"])
def test_unusable_file_ends_the_start_with_one_error(
    tmp_path: Path, command: str
) -> None:
    """The error names a path that cannot be a log; files at the path do not change."""
    other = tmp_path / "secret"
    other.write_text("secret\n")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    bound = socket.socket(socket.AF_UNIX)
    with closing(bound):
        bound.bind(f"{tmp_path}/socket")
        for name, reason in {
            "secret": "it has other content than a log",
            "link": "it is a symbolic link",
            "folder": "Is a directory",
            "pipe": "it is not a regular file",
            "socket": "No such device or address",
            "missing/log": "No such file or directory",
            "secret/log": "Not a directory",
        }.items():
            path = tmp_path / name
            environment = {
                **variables_of(tmp_path),
                f"{PREFIX}LOG_FILE": str(path),
            }
            line = error_line(command_here(command, environment=environment))
            assert line == (
                f"the log file {path} cannot be used ({reason}): name a writable file"
                f" with --log-file or {PREFIX}LOG_FILE"
            )
    assert other.read_text() == "secret\n"
    assert not (tmp_path / "target").exists()


def test_unknown_level_is_rejected() -> None:
    """The error of an unknown level lists the levels."""
    environment = {f"{PREFIX}LOG_LEVEL": "loud"}
    line = error_line(command_here("dev", environment=environment))
    levels = "debug, info, warning, error"
    assert line == f"{PREFIX}LOG_LEVEL must be one of {levels}, got 'loud'"


def test_log_at_debug_has_no_secret(tmp_path: Path, database_url: str | None) -> None:
    """No line has a key, token, cookie, pepper, password, path or query string.

    The lines of all requests have the same members, with and without a valid key.
    """
    keys, log = prepare(tmp_path, database_url), tmp_path / "log"
    if database_url is not None:
        database_url = changed_url(database_url, password=f"{CANARY}password")
    arguments = ("serve", "--port", "0", "--log-level", "debug", "--log-file", str(log))
    with start_command(
        *arguments, environment=variables_of(tmp_path, database_url)
    ) as process:
        service = Service(base_url=first_line(process).split()[-1], keys=keys)
        secrets = use_all_secrets(service)
        process.terminate()
        assert process.wait(MAX_WAIT_SECONDS) == 0
    secrets |= {*keys.values(), (tmp_path / "pepper").read_text().strip(), CANARY}
    text, lines = log.read_text(), lines_of(log)
    assert not [secret for secret in secrets if secret in text]
    requests = [line for line in lines if line["message"] == "request"]
    assert {*requests[0]} == MEMBERS
    for line, following in pairwise(requests):
        assert line.keys() == following.keys()
    assert {line["status"] for line in requests} >= {200, 201, 303, 400, 401, 404, 422}
    assert "DEBUG" in {line["level"] for line in lines}


def use_all_secrets(service: Service) -> set[str]:
    """Send each kind of secret in each part of a request; return the secrets."""
    with service.client() as api:
        job = new_job(api)
        token = api.post(f"/jobs/{job['id']}/tokens", json={}).json()["token"]
        url = api.post(f"/jobs/{job['id']}/share-links", json={}).json()["url"]
        link = url.rpartition("/")[2]
        key = service.keys["all"]
        send_lines(api, [{"api_key": key}, b"{" + key.encode()])
        for path in (f"/jobs?tag={key}&token={token}", f"/{token}", f"/jobs/{key}"):
            api.get(path)
        api.post("/jobs", json={"title": CANARY, "customer_id": key})
    wrong = f"trk_3kTMd9aZ_{CANARY}{CANARY}_abc123"
    with httpx.Client(base_url=service.base_url, timeout=MAX_WAIT_SECONDS) as anyone:
        anyone.get("/jobs", headers={"X-API-Key": wrong})
        anyone.get("/jobs", headers={"Authorization": f"Bearer {wrong}"})
        anyone.get("/jobs", headers={"X-API-Key": key, "Authorization": CANARY})
        # The second request sends the cookie, which has the token of the link.
        for path in (f"/s/{link}", f"/s/{link}", f"/s/{CANARY}?a={CANARY}"):
            anyone.get(path)
        anyone.get(f"/app/jobs/{job['id']}", params={"lang": CANARY})
    host = httpx.URL(service.base_url)
    with socket.create_connection((host.host, host.port or 0)) as connection:
        connection.sendall(f"GET /s/{link} HTTP/1.1\r\n{CANARY}\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")
    return {token, link, wrong}
