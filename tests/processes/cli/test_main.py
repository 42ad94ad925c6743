"""The command `trackerapi` as users run it, against a real backend."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest

from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import KEY, OWNER, Request, answering, http
from trackerapi import JobConfigManager, TrackerApi
from trackerapi.cli.exit_statuses import (
    FINE,
    INTERRUPTED,
    KEY_REFUSED,
    REFUSED,
    UNAVAILABLE,
    USAGE,
)
from trackerapi.cli.printing import library_messages_on_stderr


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command with these settings in its environment."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "trackerapi", *arguments],
        env={**os.environ, **settings},
        check=False,
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr
    assert "canary" not in done.stdout + done.stderr
    return done


@pytest.fixture
def settings(backend: RunningBackend) -> dict[str, str]:
    """Return the variables that `trackerapi-backend dev` prints."""
    return {
        "TRACKERAPI_BASE_URL": backend.base_url,
        "TRACKERAPI_API_KEY_FILE": backend.api_key_file,
    }


@pytest.fixture
def job_id(backend: RunningBackend) -> str:
    """Return the id of a new job with 5 of 10 units done in its only step."""
    made = str(uuid.uuid4())
    steps = [{"tag": "load", "name": "Load it", "points": 1}]
    document = {"tag": made, "name": "An import", "step_configurations": steps}
    config = JobConfigManager(configs=[document]).get_job_config(made)
    with TrackerApi(backend.api_key, backend.base_url) as tracker:
        job = tracker.create_job(made, 142, made, config=config)
        job.send_event(kind="progress", name="load", completed=5, total=10)
    return made


def test_verify_names_the_owner_of_the_key(
    settings: dict[str, str], backend: RunningBackend
) -> None:
    """`verify` prints provider, scopes, expiry and address, but not the secret."""
    done = run("verify", **settings)

    assert done.returncode == FINE
    assert done.stderr == ""
    assert "Example provider" in done.stdout
    assert "ingest, read, admin" in done.stdout
    assert "never" in done.stdout
    assert backend.base_url in done.stdout
    assert backend.api_key.split("_")[2] not in done.stdout


def test_verify_prefers_options_to_variables(
    settings: dict[str, str], backend: RunningBackend
) -> None:
    """`--base-url` and `--api-key-file` override the environment variables."""
    elsewhere = {**settings, "TRACKERAPI_BASE_URL": "http://127.0.0.1:9"}

    done = run(
        "verify",
        "--base-url",
        backend.base_url,
        "--api-key-file",
        backend.api_key_file,
        **elsewhere,
    )

    assert done.returncode == FINE


def test_verify_as_json_can_be_read_by_programs(
    settings: dict[str, str], backend: RunningBackend
) -> None:
    """`verify --json` prints one object with address, provider, key id and expiry."""
    owner = json.loads(run("verify", "--json", **settings).stdout)

    assert owner["base_url"] == backend.base_url
    assert owner["provider_name"] == "Example provider"
    assert owner["key_id"] == backend.api_key.split("_")[1]
    assert owner["expires_at"] is None


def test_verify_prints_that_it_retries() -> None:
    """While `verify` retries, one line prints the maximum wait in seconds."""
    answers = iter([http(503, b"", Retry_After="0"), http(200, OWNER)])

    with answering(lambda _: next(answers)) as server:
        done = run("verify", TRACKERAPI_BASE_URL=server.url, TRACKERAPI_API_KEY=KEY)

    assert done.returncode == FINE
    assert done.stderr.count("(retrying for at most 30 s)") == 1


def test_verify_names_the_job_of_a_token(
    settings: dict[str, str], backend: RunningBackend, job_id: str
) -> None:
    """`verify` prints the job of a job token, and no job for a provider's key."""
    with TrackerApi(backend.api_key, backend.base_url) as tracker:
        token = tracker.job(job_id).token()
    place = {**settings, "TRACKERAPI_API_KEY": token}
    place.pop("TRACKERAPI_API_KEY_FILE", None)

    assert (
        f"job       {job_id} (the key is for this job only)"
        in run("verify", **place).stdout
    )
    assert "alone" not in run("verify", **settings).stdout


@pytest.mark.parametrize("which", ["id", "--last"])
def test_job_show_prints_the_progress(
    settings: dict[str, str], job_id: str, which: str
) -> None:
    """`job show` prints status, percentage and steps of the given or newest job."""
    done = run("job", "show", job_id if which == "id" else which, **settings)

    assert done.returncode == FINE
    assert done.stdout.startswith("An import: running, 50 %\n")
    assert job_id in done.stdout
    assert "[running]  Load it  5 of 10" in done.stdout


def test_job_show_as_json_can_be_read_by_programs(
    settings: dict[str, str], job_id: str
) -> None:
    """`job show --json` prints the members of `Job`."""
    job = json.loads(run("job", "show", job_id, "--json", **settings).stdout)

    assert (job["provider_job_id"], job["percent"]) == (job_id, 50.0)
    assert job["steps"][0]["status"] == "running"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["job"],
        ["job", "show"],
        ["job", "show", "an-id", "--last"],
        ["job", "show", "a\nb"],
        ["verify", "--base-url", "ftp://tracker"],
        ["verify", "--api-key-file", "/missing"],
    ],
)
def test_wrong_usage_ends_with_status_two(
    settings: dict[str, str], arguments: list[str]
) -> None:
    """A usage error ends with status 2 and is printed on stderr only."""
    done = run(*arguments, **settings)

    assert done.returncode == USAGE
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("trackerapi")


def test_missing_settings_are_named() -> None:
    """A missing setting ends with status 2 and one line that names the variable."""
    done = run("verify")

    assert done.returncode == USAGE
    assert done.stderr.startswith("trackerapi: TRACKERAPI_BASE_URL: ")
    assert done.stderr.count("\n") == 1


def test_unreachable_backend_ends_with_status_one() -> None:
    """A backend that answers 503 ends with status 1 and one line on stderr."""
    # A wait of one hour exceeds the time limit, so the command does not retry.
    busy = http(503, b"", "text/html", Retry_After="3600")

    with answering(busy) as server:
        settings = {"TRACKERAPI_BASE_URL": server.url, "TRACKERAPI_API_KEY": KEY}
        done = run("job", "show", "--last", **settings)

    assert done.returncode == UNAVAILABLE
    assert done.stderr.count("\n") == 1


def test_rejected_key_ends_with_status_three(backend: RunningBackend) -> None:
    """A rejected key ends with status 3 and one line on stderr."""
    settings = {
        "TRACKERAPI_BASE_URL": backend.base_url,
        "TRACKERAPI_API_KEY": KEY,
    }

    done = run("verify", **settings)

    assert done.returncode == KEY_REFUSED
    assert done.stderr.count("\n") == 1


def test_unknown_job_ends_with_status_four(settings: dict[str, str]) -> None:
    """An unknown job ends with status 4, and the line names the job."""
    done = run("job", "show", "no-such-job", **settings)

    assert done.returncode == REFUSED
    assert done.stderr == "trackerapi: this provider has no job 'no-such-job'\n"


def test_provider_without_a_job_ends_with_status_four() -> None:
    """`job show --last` of a provider without jobs ends with status 4."""
    nothing = b'{"items": [], "next_cursor": null}'
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 34\r\n"
    )

    with answering(head + b"\r\n" + nothing) as server:
        settings = {"TRACKERAPI_BASE_URL": server.url, "TRACKERAPI_API_KEY": "key"}
        done = run("job", "show", "--last", **settings)

    assert done.returncode == REFUSED
    assert done.stderr == "trackerapi: this provider has no job yet\n"


def test_reader_that_goes_away_is_no_failure(settings: dict[str, str]) -> None:
    """A closed pipe on stdout ends `verify` with status 0 and no message."""
    buffered = {n: v for n, v in os.environ.items() if n != "PYTHONUNBUFFERED"}
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [sys.executable, "-m", "trackerapi", "verify"],
        env={**buffered, **settings},
        check=False,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)

    assert done.returncode == FINE
    assert done.stderr == ""


def test_interruption_ends_without_a_traceback() -> None:
    """Ctrl-C during a request ends the command without any output on stderr."""
    asked, over = threading.Event(), threading.Event()

    def silent(_: Request) -> bytes:
        asked.set()
        over.wait()
        return b""

    with answering(silent) as server:
        command = subprocess.Popen(
            [sys.executable, "-m", "trackerapi", "verify"],
            env={
                **os.environ,
                "TRACKERAPI_BASE_URL": server.url,
                "TRACKERAPI_API_KEY": KEY,
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert asked.wait(30)
            command.send_signal(signal.SIGINT)
            _, printed = command.communicate(timeout=30)
        finally:
            over.set()
            command.kill()
            command.wait()

    assert command.returncode == INTERRUPTED
    assert printed == ""


def test_version_and_exit_statuses_are_printed() -> None:
    """`--help` lists each exit status; `--version` prints a version."""
    printed = run("--help").stdout

    for status in (FINE, UNAVAILABLE, USAGE, KEY_REFUSED, REFUSED):
        assert f"\n  {status}  " in printed
    assert run("--version").stdout.strip()


@pytest.mark.parametrize(
    "arguments", [["sync", "--help"], ["sync"], ["outbox", "list"], ["outbox", "drop"]]
)
def test_command_without_requests_loads_no_http_client(
    arguments: list[str], tmp_path: Path
) -> None:
    """Help and commands on an empty outbox do not import httpx: they start fast."""
    script = (
        "import sys\n"
        "from trackerapi.cli.main import main\n"
        "try:\n"
        "    status = main(sys.argv[1:])\n"
        "except SystemExit as end:\n"
        "    status = end.code\n"
        "print(*{name.partition('.')[0] for name in sys.modules})\n"
        "raise SystemExit(status)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={
            **os.environ,
            "TRACKERAPI_BASE_URL": "http://127.0.0.1:9",
            "TRACKERAPI_API_KEY": KEY,
            "TRACKERAPI_OUTBOX": str(tmp_path),
        },
        check=True,
        capture_output=True,
        text=True,
    )

    loaded = set(done.stdout.splitlines()[-1].split())
    assert "trackerapi" in loaded
    assert not loaded & {"httpx", "httpcore", "attr", "pydantic", "trackerapi_client"}


def test_message_of_the_library_looks_like_one_of_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Inside the context, log messages are printed with the prefix "trackerapi:"."""
    log = logging.getLogger("trackerapi")
    before = [*log.handlers]

    with library_messages_on_stderr():
        log.warning("the disk is %s", "full")
        log.info("asking again")
        log.debug("nobody asked")

    printed = "trackerapi: the disk is full\ntrackerapi: asking again\n"
    assert capsys.readouterr().err == printed
    assert (log.handlers, log.level, log.propagate) == (before, logging.NOTSET, True)
