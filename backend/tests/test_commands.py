"""Commands and server processes: `dev`, `serve`, `key`, `customer`, `migrate`."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from trackerapi_backend.requests.credentials import generate_key

from backend.tests.support.service import (
    CUSTOMER,
    MAX_WAIT_SECONDS,
    command,
    command_here,
    error_line,
    first_line,
    new_job,
    prepare,
    start_command,
)

if TYPE_CHECKING:
    from pathlib import Path

DEV = ("dev", "--port", "0", "--data-dir")


def client_of(folder: Path) -> httpx.Client:
    """Return a client for the backend that `dev.json` describes."""
    described = json.loads((folder / "dev.json").read_text())
    key = (described["api_key"], described["api_key_file"])
    assert key[0] == (folder / "api_key").read_text().strip()
    assert key[1] == str(folder / "api_key")
    return httpx.Client(
        base_url=described["base_url"],
        headers={"X-API-Key": described["api_key"]},
        timeout=MAX_WAIT_SECONDS,
    )


def database_variables(folder: Path) -> dict[str, str]:
    """Return the environment variables for the database in a folder."""
    return {"TRACKERAPI_BACKEND_DATABASE": str(folder / "backend.db")}


def test_dev_keeps_everything_from_run_to_run(tmp_path: Path) -> None:
    """A second start of `dev` in a folder has the job and customer of the first."""
    folder = tmp_path / "new" / "folder"
    jobs: list[dict[str, Any]] = []
    for _ in range(2):
        with start_command(*DEV, str(folder)) as process:
            name, _, address = first_line(process).partition("=")
            assert name == "export TRACKERAPI_BASE_URL"
            mode = stat.S_IMODE((folder / "dev.json").stat().st_mode)
            assert mode == stat.S_IRUSR | stat.S_IWUSR
            with client_of(folder) as api:
                assert str(api.base_url).rstrip("/") == address
                assert api.get(f"/customers/{CUSTOMER}").status_code == 200
                jobs = jobs or [new_job(api)]
                assert api.get("/jobs").json()["items"] == jobs
            process.terminate()
            assert process.wait(timeout=MAX_WAIT_SECONDS) == 0
        assert not (folder / "dev.json").exists()


def test_dev_replaces_a_key_that_its_database_does_not_know(tmp_path: Path) -> None:
    """After its database was deleted, `dev` writes a new valid key to `api_key`."""
    keys = set()
    for _ in range(2):
        with start_command(*DEV, str(tmp_path)) as process:
            first_line(process)
            with client_of(tmp_path) as api:
                assert api.get("/api-keys/protected").status_code == 200
            keys.add((tmp_path / "api_key").read_text())
            process.terminate()
            assert process.wait(timeout=MAX_WAIT_SECONDS) == 0
        (tmp_path / "backend.db").unlink()
    assert len(keys) == 2


def test_dev_prints_lines_for_a_shell(tmp_path: Path) -> None:
    """A shell can run the printed lines, even with spaces and quotes in the path."""
    folder = tmp_path / "my folder; 'quoted'"
    with start_command(*DEV, str(folder)) as process:
        first_line(process)
        _export, assignment = shlex.split(first_line(process))
        process.terminate()
    assert assignment == f"TRACKERAPI_API_KEY_FILE={folder / 'api_key'}"


def test_dev_prints_the_page_of_the_newest_job(tmp_path: Path) -> None:
    """Comments of `dev` name the newest job's page, `/docs` and Ctrl-C."""
    with start_command(*DEV, str(tmp_path)) as process:
        lines = [first_line(process) for _ in range(5)]
        assert lines[2].endswith("trackerapi job link --job ID")
        with client_of(tmp_path) as api:
            for job_id in ("older", "newer"):
                sent = {"provider_job_id": job_id, "customer_id": 142, "tag": job_id}
                assert api.post("/jobs", json=sent).status_code == 201
        process.terminate()
        assert process.wait(MAX_WAIT_SECONDS) == 0
    with start_command(*DEV, str(tmp_path)) as process:
        lines = [first_line(process) for _ in range(5)]
        page, docs = (line.rpartition(" ")[2] for line in lines[2:4])
        with client_of(tmp_path) as api:
            assert "newer" in api.get(page).text
            assert api.get(docs).status_code == 200
    assert all(line.startswith("# ") for line in lines[2:])
    assert "Ctrl-C" in lines[4]


def test_second_server_on_the_same_file_is_rejected(tmp_path: Path) -> None:
    """A second server on a database fails with an error; the first keeps serving."""
    with start_command(*DEV, str(tmp_path)) as process:
        first_line(process)
        second = command(*DEV, str(tmp_path))
        assert "is in use by another trackerapi-backend" in error_line(second)
        with client_of(tmp_path) as api:
            assert api.get("/readyz").status_code == 200


def test_port_in_use_is_reported(tmp_path: Path) -> None:
    """The error for a used port names the port and `--port`."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = command("dev", "--port", str(port), "--data-dir", str(tmp_path))
    assert error_line(result).startswith(f"cannot listen on 127.0.0.1:{port}")
    assert "--port" in error_line(result)


@pytest.mark.parametrize("name", ["\udcff", "a\udcff.example", "a..example"])
def test_name_that_no_host_has_is_reported(tmp_path: Path, name: str) -> None:
    """A name of a host that cannot be encoded is one error for each listener."""
    folder = ("--data-dir", str(tmp_path))
    result = command("dev", "--port", "0", "--host", name, *folder)
    assert error_line(result).startswith("cannot listen on ")
    database = ("--database", str(tmp_path / "backend.db"), "--port", "0")
    result = command("serve", "--metrics-address", f"{name}:0", *database)
    assert error_line(result).startswith("cannot listen on ")


def test_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    """The error for a folder that cannot be created names `--data-dir`."""
    (tmp_path / "file").touch()
    result = command(*DEV, str(tmp_path / "file" / "folder"))
    assert "--data-dir" in error_line(result)


def test_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    """`migrate` names a file that is not a database, and does not change the file."""
    text = "this is no database" * 100
    (tmp_path / "backend.db").write_text(text)
    result = command_here("migrate", environment=database_variables(tmp_path))
    assert str(tmp_path / "backend.db") in error_line(result)
    assert (tmp_path / "backend.db").read_text() == text


def test_serve_rejects_a_database_without_schema(tmp_path: Path) -> None:
    """`serve` rejects a database without a schema; the error names `migrate`."""
    environment = database_variables(tmp_path)
    (tmp_path / "backend.db").touch()
    before = command("serve", "--port", "0", environment=environment)
    assert "run `trackerapi-backend migrate`" in error_line(before)
    assert command_here("migrate", environment=environment).returncode == 0
    with start_command("serve", "--port", "0", environment=environment) as process:
        address = first_line(process).split()[-1]
        assert (
            httpx.get(f"{address}/readyz", timeout=MAX_WAIT_SECONDS).status_code == 200
        )


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"TRACKERAPI_BACKEND_DATABASE": ""}, "TRACKERAPI_BACKEND_DATABASE"),
        ({"TRACKERAPI_BACKEND_DATABASE": "oracle://x"}, "TRACKERAPI_BACKEND_DATABASE"),
        ({"TRACKERAPI_BACKEND_PORT": "http"}, "TRACKERAPI_BACKEND_PORT"),
        (
            {"TRACKERAPI_BACKEND_PUBLIC_BASE_URL": "tracker.example.org"},
            "TRACKERAPI_BACKEND_PUBLIC_BASE_URL",
        ),
        (
            {"TRACKERAPI_BACKEND_PUBLIC_BASE_URL": "https://example.org/a b"},
            "TRACKERAPI_BACKEND_PUBLIC_BASE_URL",
        ),
    ],
)
def test_invalid_setting_is_named(
    tmp_path: Path, environment: dict[str, str], named: str
) -> None:
    """The error for an invalid setting names its variable."""
    result = command_here(
        "serve", environment=database_variables(tmp_path) | environment
    )
    assert named in error_line(result)


def test_share_links_lead_to_the_public_address(tmp_path: Path) -> None:
    """A share link has the public address; with https its cookies are `Secure`."""
    key = prepare(tmp_path)["all"]
    public = {"TRACKERAPI_BACKEND_PUBLIC_BASE_URL": "HTTPS://status.example.org/"}
    environment = database_variables(tmp_path) | public
    with start_command("serve", "--port", "0", environment=environment) as process:
        address = first_line(process).split()[-1]
        with httpx.Client(
            base_url=address, headers={"X-API-Key": key}, timeout=MAX_WAIT_SECONDS
        ) as api:
            link = api.post(f"/jobs/{new_job(api)['id']}/share-links", json={}).json()
            token = link["url"].rpartition("/")[2]
            entered = api.get(f"/s/{token}")
    assert link["url"].startswith("https://status.example.org/s/")
    assert "secure" in entered.headers["set-cookie"].lower()


def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    """The database and all files beside it have mode 600."""
    environment = database_variables(tmp_path)
    command_here("migrate", environment=environment)
    with start_command("serve", "--port", "0", environment=environment) as process:
        first_line(process)
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert len(modes) >= 3
    assert set(modes.values()) == {0o600}, modes


def test_folder_in_place_of_the_database_is_reported(tmp_path: Path) -> None:
    """A folder as database file is rejected, and no file appears beside the folder."""
    folder = tmp_path / "database"
    folder.mkdir()
    environment = {"TRACKERAPI_BACKEND_DATABASE": str(folder)}
    assert "is a folder" in error_line(command_here("migrate", environment=environment))
    assert [path.name for path in tmp_path.iterdir()] == ["database"]


def test_keys_are_created_listed_and_expired(tmp_path: Path) -> None:
    """A created key is listed and valid; after `key expire` the server rejects it."""
    environment = database_variables(tmp_path)
    command_here("migrate", environment=environment)
    new = ("key", "create", "--label", "nightly", "--scope", "read")
    key = command(*new, environment=environment).stdout.strip()
    key_id = key.split("_")[1]
    listed = command("key", "list", environment=environment).stdout
    assert key_id in listed
    assert key.split("_")[2] not in listed
    statuses = []
    for given in (key, key_id):
        with start_command("serve", "--port", "0", environment=environment) as process:
            address = first_line(process).split()[-1]
            answer = httpx.get(
                f"{address}/jobs", headers={"X-API-Key": key}, timeout=MAX_WAIT_SECONDS
            )
            statuses.append(answer.status_code)
            process.terminate()
            process.wait(timeout=MAX_WAIT_SECONDS)
        expired = command_here("key", "expire", given, environment=environment)
        assert expired.returncode == 0
    assert statuses == [200, 401]
    other = generate_key().api_key
    unknown = error_line(command_here("key", "expire", other, environment=environment))
    assert "key list" in unknown
    assert other.split("_")[2] not in unknown


@pytest.mark.parametrize("output", ["full disk", "broken pipe", "closed"])
@pytest.mark.parametrize("what", ["key", "customer"])
def test_failure_of_the_output_rolls_back(
    tmp_path: Path, output: str, what: str
) -> None:
    """If the line of a new key or customer cannot be written, nothing is stored."""
    environment = database_variables(tmp_path)
    command_here("migrate", environment=environment)
    if (what, output) == ("customer", "closed"):
        pytest.skip("`customer create` accepts a closed stdout: `list` shows the id")
    new = ("create", "--label", "x") if what == "key" else ("create", "--id", "7")
    redirected = {"full disk": ">/dev/full", "broken pipe": "", "closed": ">&-"}
    program = (sys.executable, "-m", "trackerapi_backend")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirected[output]}', "sh", *program, what, *new],
        env=os.environ | environment,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=MAX_WAIT_SECONDS,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "output" in line or "stdout" in line
    again = command_here(what, *new, environment=environment)
    assert again.returncode == 0
    listed = command_here(what, "list", environment=environment)
    assert len(listed.stdout.splitlines()) == 1


def test_dev_ends_in_order_when_its_terminal_closes(tmp_path: Path) -> None:
    """After SIGHUP `dev` leaves neither `dev.json` nor a write-ahead log."""
    with start_command(*DEV, str(tmp_path)) as process:
        first_line(process)
        assert (tmp_path / "backend.db-wal").exists()
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=MAX_WAIT_SECONDS) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "api_key",
        "backend.db",
        "pepper",
    }


def test_dev_under_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    """A server that starts with SIGHUP ignored keeps serving after SIGHUP."""
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    with start_command(*DEV, str(tmp_path), prelude=ignoring) as process:
        first_line(process)
        process.send_signal(signal.SIGHUP)
        with client_of(tmp_path) as api:
            assert api.get("/readyz").status_code == 200
        process.terminate()
        assert process.wait(timeout=MAX_WAIT_SECONDS) == 0


def test_customers_are_created_and_listed(tmp_path: Path) -> None:
    """`customer create` rejects a used id; `customer list` prints the reference."""
    environment = database_variables(tmp_path)
    command_here("migrate", environment=environment)
    new = ("customer", "create", "--id", "142", "--reference", "ward-3")
    assert command(*new, environment=environment).stdout.strip() == "142"
    assert "142" in error_line(command_here(*new, environment=environment))
    long = command_here(
        "customer", "create", "--name", "x" * 101, environment=environment
    )
    assert error_line(long).startswith("--name ")
    following = command_here("customer", "create", environment=environment)
    assert int(following.stdout) > 2**50
    listed = command("customer", "list", environment=environment).stdout
    assert "ward-3" in listed


@pytest.mark.parametrize(
    ("listing", "columns"),
    [
        (("key", "list"), "id, scopes, expiry, label"),
        (("customer", "list"), "id, reference and name"),
        (("provider", "list"), "oldest provider first: id and name"),
        (("audit",), "time, key id (or `command`), change, ids and details"),
    ],
)
def test_help_of_a_list_names_its_columns(
    listing: tuple[str, ...], columns: str
) -> None:
    """The lines of a list have no headings; `--help` names their values in order."""
    shown = command_here(*listing, "--help")
    assert columns in " ".join(shown.stdout.split())
    assert "Tabs separate" in " ".join(shown.stdout.split())


@pytest.mark.parametrize(
    "wrong",
    [
        (),
        ("key",),
        ("dev", "--port", "x"),
        ("walk",),
        ("key", "create", "--label", "x", "--provider", "a\nb"),
    ],
    ids=["no command", "no subcommand", "port", "unknown command", "line break"],
)
def test_wrong_usage_has_status_2(wrong: tuple[str, ...]) -> None:
    """A command line that cannot be parsed ends with status 2 and the usage."""
    result = command(*wrong)
    assert result.returncode == 2
    assert "usage: trackerapi-backend" in result.stderr


def test_interrupted_command_is_no_success(tmp_path: Path) -> None:
    """Ctrl-C ends a command with status 1 and one line, without a traceback."""
    key_file = tmp_path / "key"
    key_file.write_text(generate_key().api_key)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        subprocess.Popen(
            [
                *(sys.executable, "-m", "trackerapi_backend", "conformance"),
                *("--base-url", f"http://127.0.0.1:{silent.getsockname()[1]}"),
                *("--api-key-file", str(key_file)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        silent.settimeout(MAX_WAIT_SECONDS)
        connection, _address = silent.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=MAX_WAIT_SECONDS)
    assert (process.returncode, output) == (1, "")
    assert errors == "trackerapi-backend: interrupted\n"
