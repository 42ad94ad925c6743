"""One record that the backend fails to store delays no other record.

The failing record arrives once the backend can store it.
"""

import asyncio
import json
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support import faults
from tests.support.fault_proxy import Exchange, Fault, FaultProxy, pass_on, unpacked
from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import problem
from trackerapi import AsyncTrackerApi, DeliveryProblem, TrackerApi
from trackerapi.cli.main import main

POISON: Final = "poison"
PATIENCE_SECONDS: Final = 120.0


def reset(exchange: Exchange) -> None:
    """Read the request and reset the connection."""
    exchange.reset()


FAILURES: Final[dict[str, Fault]] = {
    "500": faults.answering(problem(500)),
    "503-page": faults.bare_unavailable,
    "broken": reset,
    "portal": faults.html(200),
}


def on_poison(failure: Fault) -> Fault:
    """Return a fault that fails requests with the poison and passes on all others."""

    def fault(exchange: Exchange) -> None:
        exchange.read_body()
        request = exchange.request
        is_bad = POISON.encode() in unpacked(request.headers, request.body)
        (failure if is_bad else pass_on)(exchange)

    return fault


@pytest.fixture(params=FAILURES)
def poisoned(request: pytest.FixtureRequest, proxy: FaultProxy) -> FaultProxy:
    """Return a proxy that fails requests containing the poison."""
    proxy.fault = on_poison(FAILURES[request.param])
    return proxy


@pytest.fixture
def direct(backend: RunningBackend, tmp_path: Path) -> Iterator[TrackerApi]:
    """Return a tracker that reads from the backend directly, past the proxy."""
    folder = tmp_path / "unused"
    with TrackerApi(backend.api_key, backend.base_url, outbox=folder) as tracker:
        yield tracker


def new_id() -> str:
    """Return an unused job id."""
    return f"failing-{uuid.uuid4()}"


def stored_ids(direct: TrackerApi, job_id: str) -> list[str]:
    """Return the ids of the events of a job that the backend has stored."""
    if not list(direct.list_jobs(provider_job_id=job_id)):
        return []
    return [event.event_id for event in direct.job(job_id).events()]


def await_arrival(direct: TrackerApi, job_id: str, ids: list[str]) -> None:
    """Wait until the backend has stored exactly the events `ids` of a job."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while sorted(stored_ids(direct, job_id)) != sorted(ids):
        assert time.monotonic() < deadline, stored_ids(direct, job_id)
        threading.Event().wait(0.05)  # Poll: the backend sends no notification.


def test_failing_event_delays_no_other_event(
    poisoned: FaultProxy, backend: RunningBackend, direct: TrackerApi, tmp_path: Path
) -> None:
    """All other events arrive while one event fails; this event arrives afterwards."""
    problems: list[DeliveryProblem] = []
    where = (backend.api_key, poisoned.url)
    with TrackerApi(*where, outbox=tmp_path, on_problem=problems.append) as tracker:
        own = tracker.create_job(new_id(), backend.customer_id, "import")
        other = tracker.create_job(new_id(), backend.customer_id, "import")
        ids = [own.send_event(kind="info") for _ in range(3)]
        bad = own.send_event(kind="info", message=POISON)
        ids += [own.send_event(kind="info") for _ in range(3)]
        other_ids = [other.send_event(kind="info") for _ in range(3)]
        await_arrival(direct, own.provider_job_id, ids)
        await_arrival(direct, other.provider_job_id, other_ids)
        later = own.send_event(kind="info")
        await_arrival(direct, own.provider_job_id, [*ids, later])
        # At least the failing event waits; the answer for `later` may be outstanding.
        assert tracker.delivery().waiting >= 1

        poisoned.fault = pass_on
        report = tracker.flush(timeout=PATIENCE_SECONDS)

    assert (report.waiting, report.held, dict(report.dropped)) == (0, 0, {})
    assert sorted(stored_ids(direct, own.provider_job_id)) == sorted([*ids, bad, later])
    assert sorted(stored_ids(direct, other.provider_job_id)) == sorted(other_ids)
    (message,) = [each.message for each in problems if each.kind == "not-taken"]
    assert own.provider_job_id in message
    assert "job-unknown" not in {each.kind for each in problems}


def test_failing_event_of_an_event_loop_delays_no_other_event(
    poisoned: FaultProxy, backend: RunningBackend, direct: TrackerApi, tmp_path: Path
) -> None:
    """A failing event of `AsyncTrackerApi` delays no other event."""
    job_id = new_id()

    async def script() -> list[str]:
        where = (backend.api_key, poisoned.url)
        async with AsyncTrackerApi(*where, outbox=tmp_path) as tracker:
            job = await tracker.create_job(job_id, backend.customer_id, "import")
            bad = await job.send_event(kind="info", message=POISON)
            ids = [await job.send_event(kind="info") for _ in range(3)]
            await asyncio.to_thread(await_arrival, direct, job_id, ids)
            poisoned.fault = pass_on
            report = await tracker.flush(timeout=PATIENCE_SECONDS)
            assert report.waiting == 0
            return [bad, *ids]

    ids = asyncio.run(script())
    assert sorted(stored_ids(direct, job_id)) == sorted(ids)


@pytest.fixture
def command_outbox(
    poisoned: FaultProxy,
    backend: RunningBackend,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Set the environment of commands; return the folder of their outbox."""
    monkeypatch.setenv("TRACKERAPI_BASE_URL", poisoned.url)
    monkeypatch.setenv("TRACKERAPI_API_KEY", backend.api_key)
    monkeypatch.setenv("TRACKERAPI_OUTBOX", str(tmp_path / "outbox"))
    return tmp_path / "outbox"


@pytest.mark.parametrize("is_creation", [False, True], ids=["event", "creation"])
def test_sync_delivers_other_records_and_prints_why_one_record_stays(
    poisoned: FaultProxy,
    backend: RunningBackend,
    direct: TrackerApi,
    command_outbox: Path,
    capsys: pytest.CaptureFixture[str],
    is_creation: bool,
) -> None:
    """`sync` exits with 1 while the first record fails, and with 0 afterwards."""
    bad_job = f"{POISON}-{new_id()}" if is_creation else new_id()
    good_job = new_id()
    ids: dict[str, list[str]] = {}
    for job_id, message in ((bad_job, POISON), (good_job, "fine")):
        where = (backend.api_key, poisoned.url)
        with TrackerApi(*where, outbox=command_outbox, mode="offline") as tracker:
            job = tracker.create_job(job_id, backend.customer_id, "import")
            ids[job_id] = [
                job.send_event(kind="info", message=message),
                job.send_event(kind="info"),
            ]

    assert main(["sync"]) == 1
    output = capsys.readouterr()
    assert sorted(stored_ids(direct, good_job)) == sorted(ids[good_job])
    assert stored_ids(direct, bad_job) == ([] if is_creation else ids[bad_job][1:])
    reason = f"a record of job {bad_job!r} waits: the backend takes other records"
    assert reason in output.err
    assert "does not know job" not in output.err
    assert main(["outbox", "list", "--json"]) == 0
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert file["waiting"] == (3 if is_creation else 1)
    assert main(["outbox", "show", file["id"]]) == 0
    assert "the backend takes other records, but not this one" in (
        capsys.readouterr().out
    )

    poisoned.fault = pass_on
    assert main(["sync"]) == 0
    for job_id, recorded in ids.items():
        assert sorted(stored_ids(direct, job_id)) == sorted(recorded)


def test_outbox_retry_sends_a_held_record_past_a_file_of_failing_records(
    poisoned: FaultProxy,
    backend: RunningBackend,
    direct: TrackerApi,
    command_outbox: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`outbox retry` delivers a held record behind a file in which all records fail."""
    known, unwanted = new_id(), new_id()
    direct.create_job(known, backend.customer_id, "import")
    where = (backend.api_key, poisoned.url)
    with TrackerApi(*where, outbox=command_outbox, mode="offline") as tracker:
        tracker.job(known).send_event(kind="info", message=POISON)
    with TrackerApi(*where, outbox=command_outbox, mode="offline") as tracker:
        job = tracker.create_job(unwanted, 999_999, "import")
        event_id = job.send_event(kind="info")

    fixed = ["--job", unwanted, "--customer-id", str(backend.customer_id)]
    assert main(["outbox", "retry", *fixed]) == 1
    assert stored_ids(direct, unwanted) == [event_id]
    capsys.readouterr()
    poisoned.fault = pass_on
    assert main(["sync"]) == 0
