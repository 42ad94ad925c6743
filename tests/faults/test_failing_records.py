"""One record that the backend never takes delays no other, and arrives when it does."""

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
from tests.support.fault_proxy import Fault, FaultProxy, Passage, pass_on, unpacked
from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import problem
from trackerapi import AsyncTrackerApi, DeliveryProblem, TrackerApi
from trackerapi.cli.main import main

POISON: Final = "poison"
PATIENCE_SECONDS: Final = 120.0


def reset(passage: Passage) -> None:
    """Read the request and break the connection."""
    passage.reset()


FAILURES: Final[dict[str, Fault]] = {
    "500": faults.answering(problem(500)),
    "503-page": faults.bare_unavailable,
    "broken": reset,
    "portal": faults.html(200),
}


def on_poison(failure: Fault) -> Fault:
    """Meet each request that holds the poison with a failure; pass on the others."""

    def fault(passage: Passage) -> None:
        passage.read_body()
        request = passage.request
        is_bad = POISON.encode() in unpacked(request.headers, request.body)
        (failure if is_bad else pass_on)(passage)

    return fault


@pytest.fixture(params=FAILURES)
def poisoned(request: pytest.FixtureRequest, proxy: FaultProxy) -> FaultProxy:
    """Return a proxy that fails for the poison."""
    proxy.fault = on_poison(FAILURES[request.param])
    return proxy


@pytest.fixture
def asking(backend: RunningBackend, tmp_path: Path) -> Iterator[TrackerApi]:
    """Return a tracker that asks the backend itself."""
    folder = tmp_path / "unused"
    with TrackerApi(backend.api_key, backend.base_url, outbox=folder) as tracker:
        yield tracker


def new_id() -> str:
    """Return an unused job id."""
    return f"failing-{uuid.uuid4()}"


def arrived(asking: TrackerApi, job_id: str) -> list[str]:
    """Return the ids of the events that the backend has of a job."""
    if not list(asking.list_jobs(provider_job_id=job_id)):
        return []
    return [event.event_id for event in asking.job(job_id).events()]


def await_arrival(asking: TrackerApi, job_id: str, ids: list[str]) -> None:
    """Wait until the backend has exactly these events of a job."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while sorted(arrived(asking, job_id)) != sorted(ids):
        assert time.monotonic() < deadline, arrived(asking, job_id)
        threading.Event().wait(0.05)  # there is no event to wait for


def test_failing_event_delays_no_other_event(
    poisoned: FaultProxy, backend: RunningBackend, asking: TrackerApi, tmp_path: Path
) -> None:
    """Events of its own job and of another one arrive; it comes once it is taken."""
    told: list[DeliveryProblem] = []
    where = (backend.api_key, poisoned.url)
    with TrackerApi(*where, outbox=tmp_path, on_problem=told.append) as tracker:
        own = tracker.create_job(new_id(), backend.customer_id, "import")
        other = tracker.create_job(new_id(), backend.customer_id, "import")
        ids = [own.send_event(kind="info") for _ in range(3)]
        bad = own.send_event(kind="info", message=POISON)
        ids += [own.send_event(kind="info") for _ in range(3)]
        other_ids = [other.send_event(kind="info") for _ in range(3)]
        await_arrival(asking, own.provider_job_id, ids)
        await_arrival(asking, other.provider_job_id, other_ids)
        later = own.send_event(kind="info")
        await_arrival(asking, own.provider_job_id, [*ids, later])
        assert (
            tracker.delivery().waiting >= 1
        )  # for `later` the answer may be outstanding

        poisoned.fault = pass_on
        report = tracker.flush(timeout=PATIENCE_SECONDS)

    assert (report.waiting, report.held, dict(report.dropped)) == (0, 0, {})
    assert sorted(arrived(asking, own.provider_job_id)) == sorted([*ids, bad, later])
    assert sorted(arrived(asking, other.provider_job_id)) == sorted(other_ids)
    (message,) = [each.message for each in told if each.kind == "not-taken"]
    assert own.provider_job_id in message
    assert "job-unknown" not in {each.kind for each in told}


def test_failing_event_of_an_event_loop_delays_no_other_event(
    poisoned: FaultProxy, backend: RunningBackend, asking: TrackerApi, tmp_path: Path
) -> None:
    """The same of `AsyncTrackerApi`."""
    job_id = new_id()

    async def script() -> list[str]:
        where = (backend.api_key, poisoned.url)
        async with AsyncTrackerApi(*where, outbox=tmp_path) as tracker:
            job = await tracker.create_job(job_id, backend.customer_id, "import")
            bad = await job.send_event(kind="info", message=POISON)
            ids = [await job.send_event(kind="info") for _ in range(3)]
            await asyncio.to_thread(await_arrival, asking, job_id, ids)
            poisoned.fault = pass_on
            report = await tracker.flush(timeout=PATIENCE_SECONDS)
            assert report.waiting == 0
            return [bad, *ids]

    ids = asyncio.run(script())
    assert sorted(arrived(asking, job_id)) == sorted(ids)


@pytest.fixture
def at_the_shell(
    poisoned: FaultProxy,
    backend: RunningBackend,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Set the environment of commands; return their outbox."""
    monkeypatch.setenv("TRACKERAPI_BASE_URL", poisoned.url)
    monkeypatch.setenv("TRACKERAPI_API_KEY", backend.api_key)
    monkeypatch.setenv("TRACKERAPI_OUTBOX", str(tmp_path / "outbox"))
    return tmp_path / "outbox"


@pytest.mark.parametrize("is_creation", [False, True], ids=["event", "creation"])
def test_sync_delivers_the_others_and_says_why_one_record_stays(
    poisoned: FaultProxy,
    backend: RunningBackend,
    asking: TrackerApi,
    at_the_shell: Path,
    capsys: pytest.CaptureFixture[str],
    is_creation: bool,
) -> None:
    """The oldest file holds the failing record: exit 1 with the reason, then 0."""
    bad_job = f"{POISON}-{new_id()}" if is_creation else new_id()
    good_job = new_id()
    ids: dict[str, list[str]] = {}
    for job_id, message in ((bad_job, POISON), (good_job, "fine")):
        where = (backend.api_key, poisoned.url)
        with TrackerApi(*where, outbox=at_the_shell, mode="offline") as tracker:
            job = tracker.create_job(job_id, backend.customer_id, "import")
            ids[job_id] = [
                job.send_event(kind="info", message=message),
                job.send_event(kind="info"),
            ]

    assert main(["sync"]) == 1
    output = capsys.readouterr()
    assert sorted(arrived(asking, good_job)) == sorted(ids[good_job])
    assert arrived(asking, bad_job) == ([] if is_creation else ids[bad_job][1:])
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
        assert sorted(arrived(asking, job_id)) == sorted(recorded)


def test_retry_sends_what_is_held_beside_a_file_of_failing_records(
    poisoned: FaultProxy,
    backend: RunningBackend,
    asking: TrackerApi,
    at_the_shell: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The oldest file holds failing records alone: `outbox retry` passes over it."""
    known, unwanted = new_id(), new_id()
    asking.create_job(known, backend.customer_id, "import")
    where = (backend.api_key, poisoned.url)
    with TrackerApi(*where, outbox=at_the_shell, mode="offline") as tracker:
        tracker.job(known).send_event(kind="info", message=POISON)
    with TrackerApi(*where, outbox=at_the_shell, mode="offline") as tracker:
        job = tracker.create_job(unwanted, 999_999, "import")
        event_id = job.send_event(kind="info")

    fixed = ["--job", unwanted, "--customer-id", str(backend.customer_id)]
    assert main(["outbox", "retry", *fixed]) == 1
    assert arrived(asking, unwanted) == [event_id]
    capsys.readouterr()
    poisoned.fault = pass_on
    assert main(["sync"]) == 0
