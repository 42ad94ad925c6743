"""Conformance kit: our backend passes, broken backends fail where they are broken."""

from __future__ import annotations

import json
import socket
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from trackerapi_backend.conformance.checks.limits import SENDERS
from trackerapi_backend.conformance.checks.projection import TABLE
from trackerapi_backend.conformance.checks.samples import SAMPLES, UNKNOWN_IDS
from trackerapi_backend.conformance.exchange import Answer
from trackerapi_backend.conformance.expectations import Mismatch
from trackerapi_backend.conformance.run import GROUPS, all_checks
from trackerapi_backend.requests.contract import document, operations

from backend.tests.support.broken_backends import (
    RepeatCountsTwice,
    broken_backend,
    combined,
    foreign_jobs_are_visible,
    message_has_no_limit,
    percent_falls,
    problems_are_plain_json,
    tokens_open_all_jobs,
)
from backend.tests.support.service import command_here, error_line

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping, Sequence

    from backend.tests.support.broken_backends import Fault
    from backend.tests.support.service import Service

TABLE_OF_BOTH = Path(__file__).parents[2] / "tests/conformance/projection.json"
# The broken percentage runs all groups. These two take most of the time.
OTHER_GROUPS = [
    group.name for group in GROUPS if group.name not in ("projection", "limits")
]


def run_kit(
    folder: Path, keys: Mapping[str, str], base_url: str, *options: str
) -> subprocess.CompletedProcess[str]:
    """Run the kit in this process with the keys of two providers."""
    files = {name: folder / name for name in ("all", "other")}
    for name, file in files.items():
        file.write_text(f"{keys[name]}\n")
    return command_here(
        *("conformance", "--base-url", base_url),
        *("--api-key-file", str(files["all"])),
        *("--other-api-key-file", str(files["other"])),
        *options,
    )


def outcomes(run: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Return the outcomes that the kit has printed as JSON, without the summary."""
    return [json.loads(line) for line in run.stdout.splitlines()[:-1]]


def failures(run: subprocess.CompletedProcess[str]) -> set[str]:
    """Return the names of the failed checks."""
    return {each["check"] for each in outcomes(run) if each["result"] == "fail"}


def test_backend_passes_all_checks(service: Service, tmp_path: Path) -> None:
    """Our backend passes every check of the kit, and no check is skipped."""
    run = run_kit(tmp_path, service.keys, service.base_url, "--json")
    assert failures(run) == set(), run.stdout
    assert run.returncode == 0, run.stderr
    assert {each["result"] for each in outcomes(run)} == {"pass"}
    assert [each["check"] for each in outcomes(run)] == [
        check.name for check in all_checks()
    ]
    assert json.loads(run.stdout.splitlines()[-1])["results"]["pass"] == len(
        all_checks()
    )


REPEATS = {
    "events/repeated-id",
    "events/repeated-id-with-other-content",
    "events/repeated-id-in-batch",
}


@pytest.mark.parametrize(
    ("make_fault", "broken"),
    [
        (lambda _keys: RepeatCountsTwice(), REPEATS),
        (lambda _keys: problems_are_plain_json, {"problems/documents"}),
        (
            lambda keys: combined(
                foreign_jobs_are_visible(keys), tokens_open_all_jobs(keys)
            ),
            {"tenancy/foreign-object", "tokens/other-job"},
        ),
    ],
    ids=["repeat", "problems", "isolation"],
)
def test_broken_backend_fails_where_it_is_broken(
    own_service: Service,
    tmp_path: Path,
    make_fault: Callable[[Mapping[str, str]], Fault],
    broken: set[str],
) -> None:
    """A backend that breaks one rule fails the checks of this rule and no others."""
    groups = [f"--only={name}" for name in OTHER_GROUPS]
    with broken_backend(own_service, make_fault(own_service.keys)) as address:
        run = run_kit(tmp_path, own_service.keys, address, "--json", *groups)
    assert failures(run) == broken, run.stdout + run.stderr
    assert run.returncode == 1
    assert run.stderr == ""


def test_percent_that_falls_fails_the_table(
    own_service: Service, tmp_path: Path
) -> None:
    """A falling percentage fails rows of the table; a missing limit fails a check."""
    fault = combined(percent_falls, message_has_no_limit)
    with broken_backend(own_service, fault) as address:
        run = run_kit(tmp_path, own_service.keys, address, "--json")
    failed = failures(run) - {"limits/EventInput.message"}
    assert failures(run) > failed, run.stdout + run.stderr
    assert {name.partition("/")[0] for name in failed} == {"projection"}, failed
    [row] = [
        each
        for each in outcomes(run)
        if each["title"] == "error after success" and each["result"] == "fail"
    ]
    assert row["reason"] == (
        "percent after each event: expected [100.0, 100.0], got [100.0, 50.0]"
    )


def test_kit_covers_every_operation_and_request() -> None:
    """The kit has a request of each operation, and the limits of each request body."""
    assert set(SAMPLES) == {operation.operation_id for operation in operations()}
    bodies = {
        content["schema"]["$ref"].rpartition("/")[2]
        for methods in document()["paths"].values()
        for described in methods.values()
        for content in described.get("requestBody", {}).get("content", {}).values()
        if "$ref" in content["schema"]
    }
    assert bodies <= set(SENDERS)
    ids = {
        parameter.name
        for operation in operations()
        for parameter in operation.parameters
        if parameter.location == "path"
    }
    assert ids == set(UNKNOWN_IDS)


def test_kit_has_the_table_of_library_and_backend() -> None:
    """The packaged table is the table that tests library and backend."""
    assert json.loads(TABLE_OF_BOTH.read_text()) == TABLE
    names = [check.name for check in all_checks()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("body", [b'{"api_key": "trk_secret"}', b"trk_secret"])
def test_report_of_a_success_has_no_secret(body: bytes) -> None:
    """The report of an unexpected success does not contain its body."""
    answer = Answer("POST /api-keys", 200, {}, body)
    with pytest.raises(Mismatch, match=r"expected 201, got 200$"):
        answer.require(201)
    with pytest.raises(Mismatch, match=r"expected 201, got 500 with oops$"):
        Answer("POST /api-keys", 500, {}, b"oops").require(201)


def test_selected_checks_are_printed(own_service: Service, tmp_path: Path) -> None:
    """`--only` selects a group or a check; without a second key, tenancy is skipped."""
    key = tmp_path / "key"
    key.write_text(own_service.keys["all"])
    run = command_here(
        *("conformance", "--base-url", f"{own_service.base_url}/"),
        *("--api-key-file", str(key)),
        *("--only", "health", "--only", "tenancy/foreign-event"),
    )
    lines = run.stdout.splitlines()
    assert (run.returncode, run.stderr) == (0, "")
    assert lines[:3] == [
        "pass  health/livez  `/livez` answers 200 without a key",
        "pass  health/readyz  `/readyz` answers 200 without a key",
        "skip  tenancy/foreign-event  An event of a foreign job is rejected (404), and"
        " changes nothing of the job",
    ]
    assert "needs --other-api-key-file" in lines[3]
    assert lines[4].startswith("2 passed, 0 failed, 1 skipped; ")


def test_keys_of_the_kit_expire(own_service: Service, tmp_path: Path) -> None:
    """All keys and tokens of a run expire within an hour."""
    run = run_kit(tmp_path, own_service.keys, own_service.base_url, "--only=tokens")
    assert run.returncode == 0, run.stdout
    with own_service.client() as api:
        keys = api.get("/api-keys", params={"limit": 200}).json()["items"]
    made = [key for key in keys if key["label"].startswith("Conformance kit")]
    assert made
    for key in made:
        made_at, ends = (
            datetime.fromisoformat(key[name]) for name in ("created_at", "expires_at")
        )
        assert ends - made_at <= timedelta(hours=1)


@pytest.mark.parametrize("purpose", ["ingest", "read", "admin", "expired"])
def test_key_without_the_scopes_is_named(
    own_service: Service, tmp_path: Path, purpose: str
) -> None:
    """A key that cannot run the kit causes one clear error before any request."""
    keys = own_service.keys | {"all": own_service.keys[purpose]}
    error = error_line(run_kit(tmp_path, keys, own_service.base_url))
    assert "--api-key-file" in error
    assert keys["all"] not in error
    assert ("lacks the scope" in error) is (purpose != "expired")


def test_second_key_is_of_another_provider(
    own_service: Service, tmp_path: Path
) -> None:
    """A second key of the same provider is an error."""
    keys = own_service.keys | {"other": own_service.keys["all"]}
    error = error_line(run_kit(tmp_path, keys, own_service.base_url))
    assert error == "the key of --other-api-key-file belongs to the same provider"


def test_backend_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    """A port that accepts no connection causes one clear error, without the key."""
    keys = {"all": "trk_a_b_c", "other": "trk_a_b_c"}
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        error = error_line(run_kit(tmp_path, keys, address))
    assert error.startswith(f"cannot reach the backend at {address} (")
    assert "trk_" not in error


@pytest.mark.parametrize("response", [b"", b"HTTP/1.1 200 OK\r\n\r\nHello"])
def test_address_without_a_backend_is_named(tmp_path: Path, response: bytes) -> None:
    """A server that closes connections or has no contract causes one clear error."""
    keys = {"all": "trk_a_b_c", "other": "trk_a_b_c"}
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=_answer_once, args=(server, response))
        thread.start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        error = error_line(run_kit(tmp_path, keys, address))
        thread.join()
    assert "check that --base-url is the address of a tracker backend" in error
    assert "trk_" not in error


def _answer_once(server: socket.socket, response: bytes) -> None:
    with server.accept()[0] as connection:
        connection.recv(65536)
        connection.sendall(response)


@pytest.mark.parametrize(
    "content",
    [b"", b"two keys", b"\xff", b"x" * 300],
    ids=["empty", "two keys", "not UTF-8", "long"],
)
def test_invalid_key_file_is_named(tmp_path: Path, content: bytes) -> None:
    """A key file without exactly one key causes one clear error that names the file."""
    file = tmp_path / "key"
    file.write_bytes(content)
    arguments = ("conformance", "--base-url", "http://127.0.0.1:1", "--api-key-file")
    error = error_line(command_here(*arguments, str(file)))
    assert error == f"--api-key-file: {file} must have one API key and nothing else"
    file.unlink()
    error = error_line(command_here(*arguments, str(file)))
    assert error == f"--api-key-file: {file} cannot be read (No such file or directory)"


@pytest.mark.parametrize(
    "options",
    [
        ["--base-url", "tracker.example.org"],
        ["--base-url", "ftp://tracker.example.org"],
        ["--base-url", "http://user@tracker.example.org"],
        ["--base-url", "http://tracker.example.org:99999"],
        ["--base-url", "http://t.example.org", "--only", "nothing"],
        [],
    ],
    ids=["no scheme", "scheme", "user", "port", "unknown check", "no address"],
)
def test_wrong_usage_has_status_2(options: Sequence[str]) -> None:
    """Wrong usage exits with status 2, before any request."""
    run = command_here("conformance", "--api-key-file", "key", *options)
    assert run.returncode == 2
    assert "error: " in run.stderr
