"""Invalid answers: they change no output, result or exit status of a job."""

import asyncio
import itertools
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.answers import ChangedAnswer, answer, changed_answers
from tests.support.good_backend import GOOD, Backend, good, key_of, whole_answer
from tests.support.scripted_server import KEY, Request, answering, http
from trackerapi import AsyncTrackerApi, TrackerApi
from trackerapi.cli.main import main

PART_COUNT: Final = 9
"""Number of parts into which tests divide the changed answers, to be fast."""

PATIENCE_SECONDS: Final = 60.0
"""Maximum wait for an expected result, in seconds; long for a busy machine."""


def selection(key: str, part: int) -> list[ChangedAnswer]:
    """Return every ninth changed answer of an operation, the first at index `part`."""
    schema = GOOD[key][1]
    return list(changed_answers(schema, whole_answer(schema)))[part::PART_COUNT]


def plain(url: str, job_id: str, shutdown_timeout: float) -> object:
    """Report without a block; return the id of the job."""
    with TrackerApi(KEY, url, shutdown_timeout=shutdown_timeout) as tracker:
        job = tracker.create_job(job_id, customer_id=142, tag="import")
        job.send_event(kind="progress", tag="load", completed=1, total=2)
        job.complete()
        return job.provider_job_id


def block(url: str, job_id: str, shutdown_timeout: float) -> object:
    """Report by blocks; return the id of the job."""
    with TrackerApi(KEY, url, shutdown_timeout=shutdown_timeout) as tracker:
        with tracker.run_job(job_id, 142, "import") as job:
            with job.step("load", total=2) as step:
                step.advance()
            job.skip("report", reason="none asked for")
        return job.provider_job_id


def in_a_loop(url: str, job_id: str, shutdown_timeout: float) -> object:
    """Report by the blocks of an event loop; return the id of the job."""

    async def script() -> object:
        async with AsyncTrackerApi(
            KEY, url, shutdown_timeout=shutdown_timeout
        ) as tracker:
            async with tracker.run_job(job_id, 142, "import") as job:
                async with job.step("load", total=2) as step:
                    await step.advance()
            return job.provider_job_id

    return asyncio.run(script())


Script = Callable[[str, str, float], object]
SCRIPTS: Final[list[Script]] = [plain, block, in_a_loop]


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_ends_as_usual_after_a_changed_answer_to_its_creation(
    script: Script, tmp_path: Path
) -> None:
    """A script ends as usual if one value in the answer to its creation is wrong."""
    part = SCRIPTS.index(script)
    backend = Backend()

    with answering(backend) as server:
        for each in selection("POST /jobs", part):
            backend.set_answer("POST /jobs", each.text)
            assert script(server.url, "job-1", 0) == "job-1", str(each)


@pytest.mark.parametrize("key", ["POST /events/batch", "GET /api-keys/protected"])
def test_delivery_delivers_after_an_invalid_answer(
    key: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Delivery logs an invalid answer and delivers the event after a valid answer."""
    backend = Backend()
    for number, each in enumerate(selection(key, 0)[::3]):
        if each.is_admitted:
            continue
        with answering(backend) as server:
            backend.set_answer(key, each.text)
            outbox = tmp_path / str(number)
            tracker = TrackerApi(KEY, server.url, outbox=outbox, shutdown_timeout=0)
            tracker.job("job-1").send_event(kind="info")
            assert tracker.flush(timeout=0.1).waiting == 1
            backend.set_answer("GET /jobs", "{}")
            report = tracker.flush(timeout=20)
            tracker.close()
        assert (report.waiting, report.delivered) == (0, 1), str(each)
    text = caplog.text
    assert "is not an answer of a tracker backend" in text
    assert "Error(" not in text


REFUSED: Final = {**answer("Problem"), "status": 422}
OTHER_EVENT_ID: Final = "00000000-0000-4000-8000-000000000000"

Refusals = Callable[[list[str]], list[dict[str, Any]]]
"""Function from the ids of events to the rejected lines of an answer."""


def refused_line(line: int, event_id: str | None) -> dict[str, Any]:
    """Return one rejected line of a batch answer."""
    return {"line": line, "event_id": event_id, "problem": REFUSED}


OF_ANOTHER_BATCH: Final[dict[str, Refusals]] = {
    "line-twice": lambda ids: [refused_line(1, ids[0])] * len(ids) * 2,
    "line-behind-the-last": lambda ids: [
        refused_line(n + 1, event_id) for n, event_id in enumerate(ids, start=1)
    ],
    "fewer-lines": lambda ids: [
        refused_line(n, event_id) for n, event_id in enumerate(ids[1:], start=1)
    ],
    "ids-of-other-events": lambda ids: [
        refused_line(n, OTHER_EVENT_ID) for n, _ in enumerate(ids, start=1)
    ],
}


@pytest.mark.parametrize("refusals", OF_ANOTHER_BATCH.values(), ids=OF_ANOTHER_BATCH)
def test_batch_answer_about_other_events_is_invalid(
    refusals: Refusals, tmp_path: Path
) -> None:
    """If an answer rejects lines of another batch, all events are sent again."""

    def mixed_up(request: Request) -> bytes:
        if key_of(request) != "POST /events/batch":
            return good(request)
        ids = [json.loads(line)["event_id"] for line in request.body.splitlines()]
        return http(200, {"accepted": 0, "duplicates": 0, "rejected": refusals(ids)})

    with answering(mixed_up) as server:
        with TrackerApi(
            KEY, server.url, outbox=tmp_path, shutdown_timeout=0
        ) as tracker:
            job = tracker.job("job-1")
            for _ in range(3):
                job.send_event(kind="info")
            first = tracker.flush(timeout=0.5)
            server.answer = good
            report = tracker.flush(timeout=20)

    assert (first.waiting, first.held) == (3, 0)
    assert (report.waiting, report.held, report.delivered) == (0, 0, 3)


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
def run_command(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], int]:
    """Return a function that runs a command with an address, and returns its status."""

    def run(command: str, url: str) -> int:
        monkeypatch.setenv("TRACKERAPI_BASE_URL", url)
        monkeypatch.setenv("TRACKERAPI_API_KEY", KEY)
        monkeypatch.setenv("TRACKERAPI_SHUTDOWN_TIMEOUT", "0")
        return main(command.split())

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_changed_answer_fails_read_commands_only(
    command: str,
    run_command: Callable[[str, str], int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An invalid answer may fail a read command, but no command that reports."""
    key, statuses = COMMANDS[command]
    # Without this patch, a read command would repeat its request for 30 s.
    never = "trackerapi.wire.attempts.retry_delay_seconds"
    monkeypatch.setattr(never, lambda *_, **__: None)
    backend = Backend()
    with answering(backend) as server:
        expected = run_command(command, server.url), capsys.readouterr().out
        for each in selection(key, 1)[::4]:
            backend.set_answer(key, each.text)
            status = run_command(command, server.url)
            output = capsys.readouterr()
            assert status in statuses, (str(each), output.err)
            if statuses == {0}:
                assert (status, output.out) == expected
            assert all(line.isprintable() for line in output.err.splitlines())


OTHERS: Final[dict[str, dict[str, Any]]] = {
    "GET /jobs": {"items": [whole_answer("Job") | {"provider_job_id": "job-2"}]},
    "GET /jobs/{}/events": {"items": [answer("Event")]},
    "POST /jobs/{}/tokens": {"provider_job_id": "job-2"},
    "POST /jobs/{}/share-links": {"share_link": answer("ShareLink") | {"job_id": 8}},
    "GET /api-keys/protected": {"key_id": "another1"},
}
"""Members that turn a valid answer into the answer to another request."""

MIXED_UP: Final = {
    "job show job-1": ("GET /jobs", "GET /jobs/{}/events"),
    "job link job-1": ("GET /jobs", "POST /jobs/{}/share-links"),
    "job token --job job-1": ("GET /jobs", "POST /jobs/{}/tokens"),
    "verify": ("GET /api-keys/protected",),
}


@pytest.mark.parametrize(
    ("command", "key"), [(c, key) for c, keys in MIXED_UP.items() for key in keys]
)
def test_command_refuses_the_answer_to_another_request(
    command: str,
    key: str,
    run_command: Callable[[str, str], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A command exits with status 1 if the answer is about another job or key."""
    backend = Backend()
    failed = whole_answer("Job") | {"id": 7, "status": "failed"}
    with answering(backend) as server:
        backend.set_answer(
            "GET /jobs", json.dumps({"items": [failed], "next_cursor": None})
        )
        page = backend.answer
        backend.set_answer(key, json.dumps(whole_answer(GOOD[key][1]) | OTHERS[key]))
        server.answer = lambda request: (
            page if key_of(request) == "GET /jobs" != key else backend(request)
        )
        status = run_command(command, server.url)
    output = capsys.readouterr()
    assert (status, output.out) == (1, "")
    assert "the answer is about another object than the request" in output.err


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("mixed_up", [{"provider_job_id": "b"}, {"customer_id": 143}])
def test_creation_answered_for_another_job_stays_undelivered(
    script: Script,
    mixed_up: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A creation stays undelivered if its answer is about another job."""
    backend = Backend()
    done = whole_answer("Job") | {"status": "succeeded"}
    backend.set_answer("POST /jobs", json.dumps(done | mixed_up))
    with answering(backend) as server:
        # The script ends after one answer: delivery pauses after an invalid answer.
        assert script(server.url, "job-1", PATIENCE_SECONDS) == "job-1"
        assert "has already succeeded" not in caplog.text
        for thread in threading.enumerate():
            if thread.name == "trackerapi-delivery":
                # The delivery thread keeps the outbox file claimed until it ends.
                thread.join(PATIENCE_SECONDS)
        backend.set_answer("GET /jobs", "{}")
        with TrackerApi(KEY, server.url) as tracker:
            assert tracker.flush(timeout=PATIENCE_SECONDS).waiting == 0
        creations = [r for r in server.requests if key_of(r) == "POST /jobs"]
    assert len(creations) > 1


@pytest.mark.parametrize("cursors", ["ab", "aab", ""])
@pytest.mark.parametrize("command", ["job list", "job show job-1", "job link job-1"])
def test_list_with_endless_pages_is_an_error(
    cursors: str,
    command: str,
    run_command: Callable[[str, str], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A command exits with status 1 if cursors repeat or all pages are empty."""
    count = itertools.count()

    def page(_: Request) -> bytes:
        number = next(count)
        cursor = cursors[number % len(cursors)] if cursors else f"page-{number}"
        items = [whole_answer("Job")] if cursors and command == "job list" else []
        return http(200, {"items": items, "next_cursor": cursor})

    with answering(page) as server:
        assert run_command(command, server.url) == 1
    assert "the pages of the list never end" in capsys.readouterr().err
    assert next(count) < 9
