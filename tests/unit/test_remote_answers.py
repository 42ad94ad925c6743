"""No remote answer changes a job: its output, its result and its exit status."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.answers import Spoilt, answer, spoilt
from tests.scripted_server import KEY, OWNER, Request, answering, http
from trackerapi import AsyncTrackerApi, TrackerApi
from trackerapi.cli import main

PARTS: Final = 9
"""Of the spoilt answers, each test takes every so many, so that each member is met."""

GOOD: Final = {
    "GET /api-keys/protected": (200, "ApiKeyOwner"),
    "POST /jobs": (201, "Job"),
    "GET /jobs": (200, "JobPage"),
    "GET /jobs/{}": (200, "Job"),
    "GET /jobs/{}/events": (200, "EventPage"),
    "POST /jobs/{}/tokens": (201, "JobTokenCreated"),
    "POST /jobs/{}/share-links": (201, "ShareLinkCreated"),
    "POST /events/batch": (200, "BatchReport"),
}


def key_of(request: Request) -> str:
    """Return the operation of a request, as the keys of `GOOD` have it."""
    path = request.target.partition("?")[0]
    return f"{request.method} {re.sub(r'/[0-9]+', '/{}', path)}"


def whole_answer(schema: str) -> Any:
    """Return an answer to one who shows `KEY`."""
    whole = answer(schema)
    return {**whole, **OWNER} if schema == "ApiKeyOwner" else whole


def good(request: Request) -> bytes:
    """Answer as a backend does that takes everything."""
    status, schema = GOOD[key_of(request)]
    whole = whole_answer(schema)
    if schema == "BatchReport":
        count = len(request.body.splitlines())
        whole = {"accepted": count, "duplicates": 0, "rejected": []}
    if schema.endswith("Page"):
        whole["next_cursor"] = None
    return http(status, whole)


class Backend:
    """Answers as a test says; `spoil` replaces the answers of one operation."""

    def __init__(self) -> None:
        self.key, self.answer = "", b""

    def spoil(self, key: str, text: str) -> None:
        """Answer an operation with `text` from now on."""
        self.key, self.answer = key, http(GOOD[key][0], text.encode())

    def __call__(self, request: Request) -> bytes:
        """Answer a request."""
        return self.answer if key_of(request) == self.key else good(request)


def selection(key: str, part: int) -> list[Spoilt]:
    """Return a part of the spoilt answers of an operation."""
    schema = GOOD[key][1]
    return list(spoilt(schema, whole_answer(schema)))[part::PARTS]


def plain(url: str, job_id: str) -> object:
    """Report without a block, and return what the script knows."""
    with TrackerApi(KEY, url, shutdown_timeout=0) as tracker:
        job = tracker.create_job(job_id, customer_id=142, tag="import")
        job.send_event(kind="progress", tag="load", completed=1, total=2)
        job.complete()
        return job.provider_job_id


def block(url: str, job_id: str) -> object:
    """Report by blocks."""
    with TrackerApi(KEY, url, shutdown_timeout=0) as tracker:
        with tracker.run_job(job_id, 142, "import") as job:
            with job.step("load", total=2) as step:
                step.advance()
            job.skip("report", reason="none asked for")
        return job.provider_job_id


def in_a_loop(url: str, job_id: str) -> object:
    """Report by the blocks of an event loop."""

    async def script() -> object:
        async with AsyncTrackerApi(KEY, url, shutdown_timeout=0) as tracker:
            async with tracker.run_job(job_id, 142, "import") as job:
                async with job.step("load", total=2) as step:
                    await step.advance()
            return job.provider_job_id

    return asyncio.run(script())


@pytest.mark.parametrize("script", [plain, block, in_a_loop])
def test_script_runs_on_whatever_the_answer_to_a_creation_holds(
    script: Callable[[str, str], object], tmp_path: Path
) -> None:
    """A member of another type, range or depth stops and changes nothing."""
    part = [plain, block, in_a_loop].index(script)
    backend = Backend()

    with answering(backend) as server:
        for number, each in enumerate(selection("POST /jobs", part)):
            backend.spoil("POST /jobs", each.text)
            assert script(server.url, f"job-{number}") == f"job-{number}", str(each)


@pytest.mark.parametrize("key", ["POST /events/batch", "GET /api-keys/protected"])
def test_delivery_waits_whatever_an_answer_holds(
    key: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Delivery tells of an answer that is none, and delivers when a good one comes."""
    backend = Backend()
    for number, each in enumerate(selection(key, 0)[::3]):
        if each.is_ours:
            continue
        with answering(backend) as server:
            backend.spoil(key, each.text)
            outbox = tmp_path / str(number)
            tracker = TrackerApi(KEY, server.url, outbox=outbox, shutdown_timeout=0)
            tracker.job("job-1").send_event(kind="info")
            assert tracker.flush(timeout=0.1).waiting == 1
            backend.spoil("GET /jobs", "{}")
            report = tracker.flush(timeout=20)
            tracker.close()
        assert (report.waiting, report.delivered) == (0, 1), str(each)
    text = caplog.text
    assert "is not an answer of a tracker backend" in text
    assert "Error(" not in text


COMMANDS: Final = {
    "verify": ("GET /api-keys/protected", {0, 1}),
    "verify --json": ("GET /api-keys/protected", {0, 1}),
    "job show --last": ("GET /jobs", {0, 1}),
    "job list": ("GET /jobs", {0, 1}),
    "job list --json": ("GET /jobs", {0, 1}),
    "job start import --customer 142 --id job-1": ("POST /jobs", {0}),
    "event info --job job-1": ("POST /events/batch", {0}),
    "sync": ("GET /api-keys/protected", {0, 1, 3}),
}


@pytest.fixture
def at_the_shell(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], int]:
    """Return what runs a command against an address; the exit status."""

    def run(command: str, url: str) -> int:
        monkeypatch.setenv("TRACKERAPI_BASE_URL", url)
        monkeypatch.setenv("TRACKERAPI_API_KEY", KEY)
        monkeypatch.setenv("TRACKERAPI_SHUTDOWN_TIMEOUT", "0")
        return main(command.split())

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_command_ends_in_order_whatever_an_answer_holds(
    command: str,
    at_the_shell: Callable[[str, str], int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A question says that the answer is none; a report is what it always is."""
    key, statuses = COMMANDS[command]
    # A question would be asked again for half a minute.
    never = "trackerapi.wire.attempts.retry_delay_seconds"
    monkeypatch.setattr(never, lambda *_, **__: None)
    backend = Backend()
    with answering(backend) as server:
        expected = at_the_shell(command, server.url), capsys.readouterr().out
        for each in selection(key, 1)[::4]:
            backend.spoil(key, each.text)
            status = at_the_shell(command, server.url)
            output = capsys.readouterr()
            assert status in statuses, (str(each), output.err)
            if statuses == {0}:
                assert (status, output.out) == expected
            assert all(line.isprintable() for line in output.err.splitlines())
